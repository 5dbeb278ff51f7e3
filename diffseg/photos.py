"""Reads photographs: files, PIL images, arrays and tensors become ``(h, w, 3)`` uint8 RGB. Imports no torch."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from diffseg.paths import expanded
from diffseg.pictures import CHANNEL_MAX, Pixels
from diffseg.texts import on_one_line

if TYPE_CHECKING:
    from torch import Tensor

AnyImage: TypeAlias = "str | Path | Image.Image | NDArray[Any] | Tensor"
"""A path, a PIL image, an array or a tensor, see `to_picture`."""

# Modes of one channel with more than 8 bits. Pillow would cut their values off at 255 instead of scaling them.
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")

TIFF = (".tif", ".tiff")
BITS_PER_SAMPLE = 258  # tag of TIFF


CHANNELS, COLOUR_NDIM = 3, 3  # red, green, blue; (h, w, channels)

# Besides OSError, Pillow's decoders raise these on broken bytes. NumPy raises the errors of Python's parser, which
# reads an array's header, and MemoryError if the header announces more than memory holds.
BROKEN = (
    *(SyntaxError, ValueError, TypeError, EOFError, OverflowError, MemoryError, RuntimeError),
    *(struct.error, TokenError, Image.DecompressionBombError),
)


class PhotoError(ValueError):
    """A photograph cannot be read. The message is one line: the file, and what is wrong with it."""


def read_photo(path: str | Path | BinaryIO, name: str | None = None) -> Pixels:
    """Reads a photograph the way a viewer shows it: turned upright, transparency on white, the first frame of several.

    Args:
        path: a file, or its open content, in any format that Pillow reads and any mode that it converts to RGB. Grey
            levels of 16 bits, of 12 bits (in TIFF) or in floating point are scaled to 8 bits. White is the largest
            number of that many bits (in floating point 1), or the brightest value if that is larger.
        name: name of the file in error messages; None: its path.

    Returns:
        ``(h, w, 3)`` uint8 RGB.

    Raises:
        PhotoError: the file is missing, no picture, cut short, or too large for Pillow (179 megapixels).
    """
    name = name or str(path)
    try:
        # Pillow warns of skipped metadata, and of pictures above 89 megapixels. The user need not act on either.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            return np.array(upright_rgb(image))
    except UnidentifiedImageError:
        hint = "; it reads TIFFs of 8 and 16 bits per channel: convert it to PNG" if name.lower().endswith(TIFF) else ""
        raise PhotoError(f"{name}: not a picture in a format that Pillow reads{hint}") from None
    except OSError as error:
        raise PhotoError(f"{name}: {on_one_line(error.strerror or error)}") from error
    except BROKEN as error:
        raise PhotoError(f"{name}: cannot be decoded ({on_one_line(error)})") from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """Converts a PIL image of any mode to RGB: turned as its EXIF data say, transparency on white."""
    (bits, *_) = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))  # read first: turning drops the tags
    image = ImageOps.exif_transpose(image)
    if image.mode in DEEP_MODES:
        return Image.fromarray(_to_8_bits(np.array(image), min(bits, 16))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(values: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    """Scales grey levels to 0..255: white is 2**bits - 1, for floats 1.0, or the brightest value if that is larger."""
    white = 1.0 if values.dtype.kind == "f" else 2.0**bits - 1
    levels = np.nan_to_num(values.astype(np.float64), posinf=white)
    return np.rint(levels.clip(min=0) * (CHANNEL_MAX / max(white, levels.max()))).astype(np.uint8)


def to_picture(image: AnyImage) -> Pixels:
    """Converts a picture of any kind to ``(h, w, 3)`` uint8 RGB.

    Args:
        image: path of a file (`read_photo`); a PIL image of any mode, turned as its EXIF data say; an array
            ``(h, w, 3)``; or a tensor ``(3, h, w)`` or ``(h, w, 3)`` on any device. Arrays and tensors are RGB, whole
            numbers in [0, 255] or floating point in [0, 1].

    Raises:
        PhotoError: the file cannot be read.
        ValueError: the array or tensor has another shape or range.
        TypeError: ``image`` has another type.
    """
    if isinstance(image, str | Path):
        return read_photo(expanded(image))
    if isinstance(image, Image.Image):
        return np.array(upright_rgb(image))
    if not isinstance(image, np.ndarray):
        if not hasattr(image, "detach"):  # a tensor has it; torch need not be imported to find out
            raise TypeError(f"image: must be a path, PIL image, array or tensor, got {type(image).__name__}")
        image = image.detach().cpu()
        if image.ndim == COLOUR_NDIM and image.shape[0] == CHANNELS != image.shape[2]:
            image = image.permute(1, 2, 0)
        image = (image.float() if image.is_floating_point() else image).numpy()  # NumPy knows no bfloat16
    return _to_uint8(image)


def _to_uint8(pixels: NDArray[Any]) -> Pixels:
    if pixels.ndim != COLOUR_NDIM or pixels.shape[2] != CHANNELS or not pixels.size:
        raise ValueError(f"image: must be RGB of shape (h, w, 3), or (3, h, w) for a tensor, got {pixels.shape}")
    kind, white = ("floating point", 1) if pixels.dtype.kind == "f" else ("whole numbers", CHANNEL_MAX)
    if pixels.dtype.kind not in "fiu":
        raise ValueError(f"image: must be numbers, got {pixels.dtype}")
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= white):  # a NaN fails both comparisons
        raise ValueError(f"image: {kind} must be in [0, {white}], got {low:g} to {high:g}; scale it, or give uint8")
    return (np.rint(pixels * float(CHANNEL_MAX)) if pixels.dtype.kind == "f" else pixels).astype(np.uint8)
