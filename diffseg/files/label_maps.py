"""Reads label maps: pictures whose pixels are numbers. Ground truth and predictions are read by the same rules.

Imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base as Tag

from diffseg.files.images import SIGNED, TURNING, PhotoError, explained, max_pixels, opened, pages
from diffseg.files.photographs import DEEP_MODES

ARRAY = ".npy"

Colours: TypeAlias = Literal["refused", "allowed", "only"]
"""Ways in which `read_label_map` treats colours."""

# Of Tag.Compression: none, CCITT, LZW, Deflate (two numbers), PackBits, LZMA, Zstandard. JPEG and WebP are lossy.
LOSSLESS_COMPRESSION = (1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 50000)
LOSSLESS = ("PNG", "TIFF", "BMP", "DIB", "GIF", "PPM", "TGA", "PCX", "SGI")
"""Formats, in Pillow's words, that keep every number. All others can change them."""

# Modes with one whole number a pixel. A palette only colours a map for people; its indices are the numbers.
NUMBER_MODES = ("1", "L", "P", *DEEP_MODES[:-1])
COLOUR_MODES = ("RGB", "RGBA", "RGBX", "P", "L", "1")  # 8 bits per channel

# Pillow spreads grey of 2 and 4 bits over 0..255, and that of PGM files over the range of its mode.
SPREAD = {"L;2": 85, "L;4": 17}
WHITE = {"L": 255, "I": 65535}

COLOUR = 2**32
"""Added to a colour, 0xRRGGBB, so that it is none of the numbers of a map (see `colour_number`)."""


def read_label_map(path: Path, colours: Colours = "refused") -> NDArray[np.integer]:
    """Decodes a label map ``(h, w)``: the numbers as stored, whatever the file's bits, or the indices of a palette.

    Args:
        path: a picture in a lossless format with one channel of up to 32 bits or a palette, or NumPy's ``.npy`` with
            integers or booleans (which become uint8).
        colours: "allowed" reads an RGB picture, too, as `colour_number`; "only" reads every picture as colours.

    Raises:
        PhotoError: the file cannot be read (see `opened`), its format changes numbers, its EXIF data turn it, or it
            holds several frames, several channels or fractions.
    """
    if path.suffix.lower() == ARRAY:
        return _read_array(path)
    with opened(path) as image:
        compression = getattr(image, "tag_v2", {}).get(Tag.Compression, 1)
        if image.format not in LOSSLESS or compression not in LOSSLESS_COMPRESSION:
            lossy = {"MPO": "JPEG", "JPEG2000": "JPEG 2000", "TIFF": "the compression of this TIFF"}
            what = lossy.get(str(image.format), image.format)
            raise PhotoError(f"{path}: {what} changes the numbers of a label map; export the map as PNG")
        # Asking a PNG without EXIF would decode it.
        exif = image.getexif() if image.format == "TIFF" or "exif" in image.info else {}
        if exif.get(Tag.Orientation) in TURNING:
            raise PhotoError(
                f"{path}: its EXIF data turn this label map, which some programs do and others do not; save it "
                "without them, turned like its picture"
            )
        if (count := pages(image)) > 1:
            raise PhotoError(
                f"{path}: holds {count} frames, a label map has one; write each frame to a file of its own"
            )
        if colours == "only" or (colours == "allowed" and image.mode not in NUMBER_MODES):
            return _colours(image, path)
        if image.mode not in NUMBER_MODES:
            fractions = "fractions" if image.mode == "F" else f"colours ({image.mode})"
            raise PhotoError(
                f"{path}: a label map has one whole number per pixel, this picture has {fractions}; write the numbers "
                "of the classes or segments"
            )
        return _stored(image)


def colour_number(red: int, green: int, blue: int) -> int:
    """The number by which `read_label_map` gives a colour.

    >>> number_text(colour_number(128, 128, 0)), number_text(7)
    ('#808000', '7')
    """
    return COLOUR + (red << 16) + (green << 8) + blue


def number_text(number: int) -> str:
    """A number of a label map for messages: colours as ``#rrggbb``."""
    return f"#{number - COLOUR:06x}" if number >= COLOUR else str(number)


def _read_array(path: Path) -> NDArray[np.integer]:
    with explained(path, str(path)):
        # Memory-mapped, because a damaged header may state a size larger than the memory.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(values, np.ndarray) or values.ndim != 2 or not values.size or values.dtype.kind not in "iub":
        kind = getattr(values, "dtype", type(values).__name__)
        raise PhotoError(
            f"{path}: a label map has one whole number per pixel, this file holds {kind} in the shape "
            f"{np.shape(values)}; write integers (h, w)"
        )
    if values.size > (limit := max_pixels()):
        raise PhotoError(f"{path}: holds {values.size:,} pixels, and at most {limit:,} are read; make it smaller")
    return np.array(values, np.uint8 if values.dtype.kind == "b" else values.dtype.newbyteorder("="))


def _stored(image: Image.Image) -> NDArray[np.integer]:
    """The numbers in the file, undoing what Pillow does to show them as grey levels."""
    # How the bytes hold the pixels, in Pillow's words: L;2, or (L, largest value) of a PGM. Decoding clears it.
    decoder, arguments = tiles[0][::3] if (tiles := getattr(image, "tile", [])) else ("", "")
    raw = str(arguments[0] if isinstance(arguments, tuple) else arguments)
    signed = getattr(image, "tag_v2", {}).get(Tag.SampleFormat, (1,))[0] == SIGNED
    values = np.array(image)
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    if decoder.startswith("ppm") and isinstance(arguments, tuple):  # PGM: 0..the file's own maximum
        return np.rint(values * (arguments[-1] / WHITE[image.mode])).astype(np.int32)
    if image.mode in ("1", "L"):
        if raw.endswith(("I", "IR")):  # white is 0
            values = (1 if image.mode == "1" else 255) - values
        values = values // SPREAD.get(raw[:3], 1)
        return values.view(np.int8) if signed else values
    # Pillow has no unsigned 32 bits.
    return values.view(np.uint32) if image.format == "TIFF" and values.dtype == np.int32 and not signed else values


def _colours(image: Image.Image, path: Path) -> NDArray[np.int64]:
    if image.mode not in COLOUR_MODES:
        raise PhotoError(f"{path}: a map of colours has 8 bits per channel, this picture has {image.mode}; write RGB")
    pixels = np.array(image.convert("RGBA" if image.mode == "RGBA" else "RGB"), np.int64)
    if image.mode == "RGBA" and pixels[..., 3].min() < 255:
        raise PhotoError(f"{path}: some pixels are transparent, so they have no colour; write the map without alpha")
    return COLOUR + (pixels[..., 0] << 16) + (pixels[..., 1] << 8) + pixels[..., 2]
