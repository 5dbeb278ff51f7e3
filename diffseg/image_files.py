"""Opens picture files, and reads photographs: files, PIL images, arrays and tensors become RGB. Imports no torch."""

from __future__ import annotations

import logging
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from diffseg.paths import expanded
from diffseg.pictures import CHANNEL_MAX, Pixels
from diffseg.remarks import Remark
from diffseg.texts import counted, on_one_line

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

ImageFile: TypeAlias = "str | Path | BinaryIO"
"""A file, or its open content."""
AnyImage: TypeAlias = "str | Path | Image.Image | NDArray[Any] | Tensor"
"""A path, a PIL image, an array or a tensor, see `to_picture`."""
MAX_PIXELS = "DIFFSEG_MAX_PIXELS"
"""Environment variable: the largest number of pixels of a picture."""
DEFAULT_MAX_PIXELS = 178_956_970
"""Pillow's limit. A larger file may be a small one made to fill the memory."""

# Besides OSError, Pillow's decoders raise these on broken bytes. NumPy raises the errors of Python's parser, which
# reads an array's header.
BROKEN = (SyntaxError, ValueError, TypeError, EOFError, OverflowError, RuntimeError, struct.error, TokenError)

# Tags of TIFF and EXIF.
BITS_PER_SAMPLE, COMPRESSION, SAMPLES, NEW_SUBFILE, SAMPLE_FORMAT, ORIENTATION = 258, 259, 277, 254, 339, 274
NUMBERS = {1: "", 2: ", signed", 3: ", floating point", 5: ", complex", 6: ", complex"}  # values of SAMPLE_FORMAT
NOT_A_PAGE = 0b101  # bits of NEW_SUBFILE: a smaller copy of a page, or its mask
TURNING = range(2, 9)  # values of ORIENTATION that turn or mirror a picture
EXCHANGING = range(5, 9)  # those that exchange height and width
# Value of ORIENTATION -> how to turn an upright picture back into the stored one.
BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
# Modes of one channel with more than 8 bits. Pillow would cut their values off at 255 instead of scaling them.
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
CHANNELS, COLOUR_NDIM = (1, 3, 4), 3  # grey, RGB, RGBA; (h, w, channels)

DARK = CHANNEL_MAX // 4
"""A photograph whose brightest value is below this was probably stored with too many bits (14 of 16 give 63)."""
ALMOST_BLACK = "is almost black; scale its values to the whole range of its format"
FIRST_FRAME = "holds several frames, of which the first is read"

_pillow = threading.RLock()


class PhotoError(ValueError):
    """A picture or label map cannot be read. The message is one line: the file, the fault, and what to do."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photograph.

    Attributes:
        pixels: ``(h, w, 3)`` uint8 RGB.
        stored: height and width of the file, before it was turned upright.
        turned: True if its EXIF data turned or mirrored it.
        remarks: what the user should know about it.
    """

    pixels: Pixels
    stored: tuple[int, int]
    turned: bool
    remarks: tuple[Remark, ...]


# --- photographs


def read_photo(path: ImageFile, name: str | None = None) -> Pixels:
    """`decode_photo`: ``(h, w, 3)`` uint8 RGB. Logs a warning if it is almost black or has several frames."""
    photo = decode_photo(path, name)
    for remark in photo.remarks:
        logger.warning("%s: %s", name or path, remark)
    return photo.pixels


def decode_photo(path: ImageFile, name: str | None = None, upright: bool = True) -> Photo:
    """Decodes a photograph the way a viewer shows it: turned upright, transparency on white, the first frame.

    Args:
        path: a file, or its open content, in any format that Pillow reads and any mode that it converts to RGB. Grey
            levels of 16 bits, of 12 bits (in TIFF) or in floating point are scaled to 8 bits. White is the largest
            number of that many bits (in floating point 1), or the brightest value if that is larger.
        name: name of the file in error messages; None: its path.
        upright: False leaves the picture as stored.

    Raises:
        PhotoError: the file is missing, no picture, damaged, or too large, see `opened`.
    """
    with opened(path, name) as image:
        frames = 1 if image.format == "MPO" else pages(image)  # cameras add a map of depth or brightness
        # Pillow turns a TIFF while it decodes it.
        tag: Any = image.getexif().get(ORIENTATION) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
        orientation = int(tag) if tag in TURNING else 0
        stored = (image.width, image.height) if orientation in EXCHANGING else (image.height, image.width)
        image.load()  # or a PNG would be decoded while other threads wait
        with _quiet_pillow():
            turned = upright and (orientation or image.getexif().get(ORIENTATION)) in TURNING
        pixels = _rgb(image.transpose(BACK[orientation]) if orientation and not upright else image, upright)
    remarks = [Remark(FIRST_FRAME, f"{frames} frames")] if frames > 1 else []
    return Photo(pixels, stored, turned, (*remarks, *_darkness(pixels)))


def to_picture(image: AnyImage) -> Pixels:
    """Converts a picture of any kind to ``(h, w, 3)`` uint8 RGB.

    Args:
        image: path of a file (`read_photo`); a PIL image of any mode, turned as its EXIF data say; an array ``(h, w)``
            of grey levels, ``(h, w, 3)`` of RGB or ``(h, w, 4)`` with alpha; or a tensor of these shapes, or with its
            channels first, on any device. Numbers are whole in [0, 255] or floating point in [0, 1].

    Raises:
        PhotoError: the file cannot be read.
        ValueError: the array or tensor has another shape or range.
        TypeError: ``image`` has another type.
    """
    if isinstance(image, str | Path):
        return read_photo(expanded(image))
    if not isinstance(image, Image.Image):
        image = Image.fromarray(_to_uint8(_to_array(image)))
    if not image.width * image.height:
        raise ValueError(f"image: must have at least one pixel, got {image.width} x {image.height}")
    try:
        pixels = _rgb(image)
    except (OSError, SyntaxError) as error:  # Pillow decodes a file when its pixels are first read
        raise PhotoError(f"image: cannot be decoded ({on_one_line(error)})") from error
    for remark in _darkness(pixels):
        logger.warning("image: %s", remark)
    return pixels


def _to_array(image: Any) -> NDArray[Any]:
    """An array or a tensor as an array with its channels last."""
    if isinstance(image, np.ndarray):
        return image
    if not hasattr(image, "permute"):  # a tensor has it; torch need not be imported to find out
        raise TypeError(f"image: must be a path, PIL image, array or tensor, got {type(image).__name__}")
    image = image.detach().cpu()
    if image.ndim == COLOUR_NDIM and image.shape[0] in CHANNELS and image.shape[2] not in CHANNELS[1:]:
        image = image.permute(1, 2, 0)
    return (image.float() if image.is_floating_point() else image).numpy()  # NumPy knows no bfloat16


def _rgb(image: Image.Image, upright: bool = True) -> Pixels:
    """Converts a PIL image of any mode to RGB; ``upright`` turns it as its EXIF data say."""
    (bits, *_) = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))
    if upright:
        image = ImageOps.exif_transpose(image)
    if image.mode in DEEP_MODES:
        # White is 2**bits - 1, for floats 1.0, or the brightest value if that is larger.
        values = np.array(image)
        white = 1.0 if values.dtype.kind == "f" else 2.0 ** min(bits, 16) - 1
        levels = np.nan_to_num(values.astype(np.float64), posinf=white).clip(min=0)
        image = Image.fromarray(np.rint(levels * (CHANNEL_MAX / max(white, levels.max()))).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _to_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """``(h, w)`` grey, or ``(h, w, channels)``."""
    if pixels.ndim == COLOUR_NDIM and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim not in (2, COLOUR_NDIM) or pixels.shape[2:] not in ((), (3,), (4,)) or not pixels.size:
        raise ValueError(
            f"image: must be grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4), a tensor also with channels first, got "
            f"{pixels.shape}"
        )
    kind, white = ("floating point", 1) if pixels.dtype.kind == "f" else ("whole numbers", CHANNEL_MAX)
    if pixels.dtype.kind not in "fiu":
        raise ValueError(f"image: must be numbers, got {pixels.dtype}")
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= white):  # a NaN fails both comparisons
        raise ValueError(f"image: {kind} must be in [0, {white}], got {low:g} to {high:g}; scale it, or give uint8")
    return (np.rint(pixels * float(CHANNEL_MAX)) if pixels.dtype.kind == "f" else pixels).astype(np.uint8)


def _darkness(pixels: Pixels) -> list[Remark]:
    brightest = int(pixels.max())
    return [Remark(ALMOST_BLACK, f"brightest {brightest} of {CHANNEL_MAX}")] if brightest < DARK else []


# --- files


@contextmanager
def opened(path: ImageFile, name: str | None = None) -> Iterator[Image.Image]:
    """Opens a picture file; the block may decode it.

    Args:
        path: a file, or its open content, in any format that Pillow reads.
        name: name of the file in messages; None: its path.

    Raises:
        PhotoError: the file is missing, no picture, damaged, or has more pixels than the environment variable
            DIFFSEG_MAX_PIXELS allows (default: 178,956,970).
    """
    name = name or str(path)
    with explained(path, name):
        with _quiet_pillow():
            image = Image.open(path)
            # Decoding reads the tags of a TIFF, too, and would warn of broken ones.
            if isinstance(image, TiffImagePlugin.TiffImageFile) and image.getexif().get(ORIENTATION) in TURNING:
                image.filename = ""  # or Pillow would map an uncompressed picture into memory in its turned shape
        with image:
            limit, (width, height) = max_pixels(), image.size
            if width * height > limit:
                raise PhotoError(
                    f"{name}: is {width} x {height} pixels, and at most {limit:,} are read; make it smaller, or set "
                    f"the environment variable {MAX_PIXELS}={width * height} if you trust the file"
                )
            yield image


def max_pixels() -> int:
    """The largest number of pixels of a picture. Raises PhotoError if the environment variable is no number."""
    text = os.environ.get(MAX_PIXELS) or str(DEFAULT_MAX_PIXELS)
    if not text.isdecimal() or int(text) < 1:
        raise PhotoError(f"{MAX_PIXELS}: must be a whole number of pixels, at least 1, got {text}")
    return int(text)


@contextmanager
def explained(path: ImageFile, name: str) -> Iterator[None]:
    """Turns the errors of decoders into `PhotoError`, see `opened`."""
    try:
        yield
    except PhotoError:
        raise
    except UnidentifiedImageError:
        raise PhotoError(f"{name}: {_not_identified(path)}") from None
    except MemoryError as error:
        raise PhotoError(f"{name}: does not fit in memory; make it smaller") from error
    except (OSError, Image.DecompressionBombError, *BROKEN) as error:
        if isinstance(error, OSError) and error.strerror:
            raise PhotoError(f"{name}: {error.strerror}") from error
        reason = on_one_line(error).rstrip(".")
        raise PhotoError(
            f"{name}: cannot be decoded ({reason}); the file is damaged: copy, download or write it again"
        ) from error


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Context without Pillow's own limit (`opened` has one) and its warnings of metadata, which ask for no action.

    Both are settings of the process, so one thread at a time has them, for as long as it takes to read a header.
    """
    with _pillow, warnings.catch_warnings(action="ignore"):
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def pages(image: Image.Image) -> int:
    """Number of frames of an animation, or of pages of a TIFF without smaller copies (pyramids) and masks."""
    with _quiet_pillow():
        frames: int = getattr(image, "n_frames", 1)
        if frames == 1 or not isinstance(image, TiffImagePlugin.TiffImageFile):
            return frames
        count = 0
        for frame in range(frames):
            image.seek(frame)
            count += not image.tag_v2.get(NEW_SUBFILE, 0) & NOT_A_PAGE
        image.seek(0)
    return count


def _not_identified(path: ImageFile) -> str:
    """Says what a file is that Pillow does not recognise, and what to do."""
    if isinstance(path, str | Path):
        with Path(path).open("rb") as file:
            return _not_identified(file)
    path.seek(0)
    start = path.read(512)
    if not start:
        return "the file is empty; copy, download or write it again"
    if start.startswith(b"version https://git-lfs"):
        return "holds a Git LFS pointer instead of a picture; run git lfs pull"
    if start.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "holds a web page instead of a picture; download it again"
    if start[8:10] == b'{"':
        return "holds attention or weights (safetensors), no picture; diffseg.AttentionMaps.load reads attention"
    if start.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8")):
        return "cannot be decoded; the file is damaged: copy, download or write it again"
    if start[4:8] == b"ftyp":
        kind = start[8:12].decode("ascii", "replace").strip()
        return f"is a HEIF picture or a video ({kind}), which Pillow does not read; convert it to PNG"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return f"is a TIFF{_tiff_kind(path, start)}, which Pillow does not read; convert it to PNG"
    return "not a picture in a format that Pillow reads; convert it to PNG"


def _tiff_kind(file: BinaryIO, start: bytes) -> str:
    """Bands and bits of a TIFF, such as `` of 5 bands of 8 bits``; empty if its header cannot be read."""
    try:
        with _quiet_pillow():
            tags = TiffImagePlugin.ImageFileDirectory_v2(start[: 16 if b"+" in start[2:4] else 8])
            file.seek(tags.next)
            tags.load(file)
            bits = sorted({int(number) for number in tags.get(BITS_PER_SAMPLE, (1,))})
            numbers = NUMBERS.get(int(tags.get(SAMPLE_FORMAT, (1,))[0]), "")
            bands = counted(int(tags.get(SAMPLES, 1)), "band")
    except (OSError, *BROKEN):
        return ""
    return f" of {bands} of {' and '.join(map(str, bits))} bits{numbers}"
