"""Decodes pictures, label maps and lists. A file that cannot be used raises a `DatasetError` that names it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from datasets.base import VOID, DatasetError, Picture

# Modes with one value a pixel: grey levels or palette indices. The palette is only for display.
LABEL_MODES = ("L", "P")

# Modes of one channel with more than 8 bits. Pillow would cut their values off at 255 instead of scaling them.
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
BITS_PER_SAMPLE = 258  # tag of a TIFF


# Decoders raise any of these on broken bytes. Pillow: SyntaxError for a PNG, OSError for a cut JPEG. NumPy: the errors
# of Python's parser, which reads the header of an array.
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, OverflowError, MemoryError),
    *(struct.error, TokenError, Image.DecompressionBombError),
)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DatasetError(f"{path}: the file is missing; unpack or copy it again") from None
    except UnidentifiedImageError:
        raise DatasetError(f"{path}: not a picture; the file is damaged: unpack or copy it again") from None
    except BROKEN as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{path}: cannot be decoded ({reason}); unpack or copy it again") from error


def read_image(path: Path, upright: bool = False) -> NDArray[np.uint8]:
    """Decodes a picture to ``(h, w, 3)`` uint8 RGB: the first frame of several, transparency on white.

    Grey levels of more than 8 bits are scaled: white is 65535 (in a TIFF of 12 bits 4095, in floating point 1.0), or
    the brightest level if that is higher. The command line of `diffseg` reads photographs by the same rules; a test
    compares the two.

    Args:
        path: any format that Pillow reads.
        upright: True turns the picture as its EXIF data say. False is for published data sets, whose ground truth is
            aligned with the stored pixels.

    Raises:
        DatasetError: the file is missing, cut short or no picture.
    """
    with _decoding(path), Image.open(path) as file:
        (bits, *_) = getattr(file, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))  # read first: turning drops the tags
        image = ImageOps.exif_transpose(file) if upright else file
        if image.mode in DEEP_MODES:
            levels = np.nan_to_num(np.array(image, np.float64), posinf=1.0).clip(min=0)
            white = max(1.0 if image.mode == "F" else 2.0 ** min(bits, 16) - 1, levels.max())
            image = Image.fromarray(np.rint(levels * (255 / white)).astype(np.uint8))
        elif image.has_transparency_data:
            layer = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        return np.array(image.convert("RGB"))


def read_label(path: Path) -> NDArray[np.uint8]:
    """Decodes a label map to ``(h, w)`` uint8: the values as stored, or the indices of a palette.

    Raises:
        DatasetError: the file is missing, cut short or no picture, or does not have exactly one channel of 8 bits.
    """
    with _decoding(path), Image.open(path) as image:
        mode, values = image.mode, np.array(image)
    if mode not in LABEL_MODES:
        raise DatasetError(
            f"{path}: a label map has one 8-bit channel, this picture has mode {mode}; "
            "use the map of class ids, not a coloured one"
        )
    return values


def read_any_label(path: Path) -> NDArray[np.integer]:
    """Decodes a label map of the user to ``(h, w)`` integers: the values as stored, or the indices of a palette.

    Args:
        path: a picture with one channel of up to 32 bits or a palette, or NumPy's ``.npy`` with integers or booleans.

    Raises:
        DatasetError: the file is missing, cut short, no label map, or has several channels.
    """
    with _decoding(path):
        if path.suffix.lower() == ".npy":
            # Memory-mapped, because a damaged header may state a size larger than the memory.
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            with Image.open(path) as image:
                values = np.array(image)
    if values.ndim != 2 or values.dtype.kind not in "uib":
        raise DatasetError(
            f"{path}: a label map has one whole number per pixel, this file has {values.dtype} in the shape "
            f"{values.shape}; use the map of class ids, not a coloured one"
        )
    return np.array(values, np.uint8 if values.dtype.kind == "b" else None)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as stored, from its header. Raises `DatasetError` as `read_image`."""
    with _decoding(path), Image.open(path) as image:
        return image.size


def read_ids(path: Path) -> set[str]:
    """Reads a list of ids, one a line. Blank lines, repetitions and spaces around an id are ignored.

    Raises:
        DatasetError: the file is missing, is not UTF-8 text, or lists no id.
    """
    try:
        # Editors on Windows write a byte order mark, which utf-8-sig skips.
        ids = {line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()} - {""}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DatasetError(
            f"{path}: the list of ids cannot be read ({reason}); give a text file, one id per line"
        ) from error
    if not ids:
        raise DatasetError(f"{path}: the list of ids is empty; give a text file, one id per line")
    return ids


def join_picture(
    id: str, image: NDArray[np.uint8], label: NDArray[np.int16], image_path: Path, label_path: Path
) -> Picture:
    """Joins a picture ``(h, w, 3)`` and its label map ``(h, w)``; the paths are for the messages.

    Raises:
        DatasetError: the two differ in size, or no pixel has a class.
    """
    if image.shape[:2] != label.shape:
        (height, width), (label_height, label_width) = image.shape[:2], label.shape
        raise DatasetError(
            f"{image_path} is {width} x {height} pixels but its labels in {label_path} are "
            f"{label_width} x {label_height}; take both from the same release of the data, or resize the label map"
        )
    if not (label != VOID).any():
        raise DatasetError(
            f"{label_path}: no pixel of {id} has a class, so nothing can be scored; "
            "leave the id out with dataset.split_file"
        )
    return Picture(id, image, label)
