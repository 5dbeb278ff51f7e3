"""Reads photographs: files, PIL images, arrays and tensors become RGB. Imports no torch."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin
from PIL.ExifTags import Base as Tag

from diffseg.files.images import SIGNED, TURNING, ImageFile, PhotoError, opened, pages, quiet_pillow
from diffseg.files.paths import expanded
from diffseg.files.remarks import Remark
from diffseg.pictures import CHANNEL_MAX, Pixels
from diffseg.texts import on_one_line

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

AnyImage: TypeAlias = "str | Path | Image.Image | NDArray[Any] | Tensor"
"""A path, a PIL image, an array or a tensor, see `to_picture`."""

EXCHANGING = range(5, 9)  # those that exchange height and width
# Value of Tag.Orientation -> how to turn an upright picture back into the stored one.
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
BELOW_ZERO = "has values below 0, which are read as black; shift its values so that the lowest is 0"
FIRST_FRAME = "holds several frames, of which the first is read"


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


def read_photo(path: ImageFile, name: str | None = None) -> Pixels:
    """`decode_photo`: ``(h, w, 3)`` uint8 RGB. Logs its remarks as warnings."""
    photo = decode_photo(path, name)
    for remark in photo.remarks:
        logger.warning("%s: %s", name or path, remark)
    return photo.pixels


def decode_photo(path: ImageFile, name: str | None = None, upright: bool = True) -> Photo:
    """Decodes a photograph the way a viewer shows it: turned upright, transparency on white, the first frame.

    It may be in any format that Pillow reads and any mode that it converts to RGB. Grey levels of 16 bits, of 12 bits
    (in TIFF) or in floating point are scaled to 8 bits. White is the largest number of that many bits (in floating
    point 1), or the brightest value if that is larger; black is 0. ``name`` and the errors are those of `opened`;
    ``upright=False`` leaves the picture as stored.
    """
    with opened(path, name) as image:
        frames = 1 if image.format == "MPO" else pages(image)  # cameras add a map of depth or brightness
        # Pillow turns a TIFF while it decodes it.
        tag: Any = image.getexif().get(Tag.Orientation) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
        orientation = int(tag) if tag in TURNING else 0
        stored = (image.width, image.height) if orientation in EXCHANGING else (image.height, image.width)
        image.load()  # or a PNG would be decoded while other threads wait
        with quiet_pillow():
            turned = upright and (orientation or image.getexif().get(Tag.Orientation)) in TURNING
        pixels, remarks = _rgb(image, upright, orientation)
    first = [Remark(FIRST_FRAME, f"{frames} frames")] if frames > 1 else []
    return Photo(pixels, stored, turned, (*first, *remarks))


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
        pixels, remarks = _rgb(image)
    except (OSError, SyntaxError) as error:  # Pillow decodes a file when its pixels are first read
        raise PhotoError(f"image: cannot be decoded ({on_one_line(error)})") from error
    for remark in remarks:
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


def _rgb(image: Image.Image, upright: bool = True, orientation: int = 0) -> tuple[Pixels, list[Remark]]:
    """Converts a PIL image of any mode to RGB, with remarks about its values.

    ``upright`` turns it as its EXIF data say. False leaves it as stored; ``orientation`` is what Pillow has undone.
    """
    tags = getattr(image, "tag_v2", {})  # turning drops them
    (bits, *_), (kind, *_) = tags.get(Tag.BitsPerSample, (16,)), tags.get(Tag.SampleFormat, (1,))
    if upright:
        image = ImageOps.exif_transpose(image)
    elif orientation:
        image = image.transpose(BACK[orientation])
    remarks = []
    signed_bytes = image.mode == "L" and kind == SIGNED  # Pillow reads them without their sign
    if image.mode in DEEP_MODES or signed_bytes:
        # White is 2**bits - 1, for floats 1.0, or the brightest value if that is larger.
        values = np.array(image).view(np.int8) if signed_bytes else np.array(image)
        if (values < 0).any():
            remarks.append(Remark(BELOW_ZERO, f"lowest {np.nanmin(values):g}"))
        white = 1.0 if values.dtype.kind == "f" else 2.0 ** min(bits, 16) - 1
        levels = np.nan_to_num(values.astype(np.float64), posinf=white).clip(min=0)
        image = Image.fromarray(np.rint(levels * (CHANNEL_MAX / max(white, levels.max()))).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    pixels = np.array(image.convert("RGB"))
    if (brightest := int(pixels.max())) < DARK:
        remarks.append(Remark(ALMOST_BLACK, f"brightest {brightest} of {CHANNEL_MAX}"))
    return pixels, remarks


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
