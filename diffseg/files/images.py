"""Opens picture files of any format: one limit of pixels, one line for each fault. Imports no torch."""

from __future__ import annotations

import os
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO, TypeAlias

from PIL import Image, TiffImagePlugin, UnidentifiedImageError
from PIL.ExifTags import Base as Tag

from diffseg.texts import counted, on_one_line

ImageFile: TypeAlias = "str | Path | BinaryIO"
"""A file, or its open content."""
MAX_PIXELS = "DIFFSEG_MAX_PIXELS"
"""Environment variable: the largest number of pixels of a picture."""
DEFAULT_MAX_PIXELS = 178_956_970
"""Pillow's limit. A larger file may be a small one made to fill the memory."""

# Besides OSError, Pillow's decoders raise these on broken bytes. NumPy raises the errors of Python's parser, which
# reads an array's header.
BROKEN = (SyntaxError, ValueError, TypeError, EOFError, OverflowError, RuntimeError, struct.error, TokenError)

DEPTH = 32997  # a tag of TIFF that Pillow does not name: number of slices
NUMBERS = {1: "", 2: ", signed", 3: ", floating point", 5: ", complex", 6: ", complex"}  # values of Tag.SampleFormat
NOT_A_PAGE = 0b101  # bits of Tag.NewSubfileType: a smaller copy of a page, or its mask
# ImageJ stores the slices of a large stack behind a single page, and names their number in its description.
SLICES = re.compile(r"ImageJ=.*^images=(\d+)", re.DOTALL | re.MULTILINE)
SIGNED = 2  # value of Tag.SampleFormat
TURNING = range(2, 9)  # values of Tag.Orientation that turn or mirror a picture

_pillow = threading.RLock()


class PhotoError(ValueError):
    """A picture or label map cannot be read. The message is one line: the file, the fault, and what to do."""


@contextmanager
def opened(path: ImageFile, name: str | None = None) -> Iterator[Image.Image]:
    """Opens a picture file, or its open content, in any format that Pillow reads; the block may decode it.

    ``name`` is that of the file in messages; None: its path.

    Raises:
        PhotoError: the file is missing, no picture, damaged, or has more pixels than the environment variable
            DIFFSEG_MAX_PIXELS allows (default: 178,956,970).
    """
    name = name or str(path)
    with explained(path, name):
        with quiet_pillow():
            image = Image.open(path)
            # Decoding reads the tags of a TIFF, too, and would warn of broken ones.
            if isinstance(image, TiffImagePlugin.TiffImageFile) and image.getexif().get(Tag.Orientation) in TURNING:
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
def quiet_pillow() -> Iterator[None]:
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
    """Number of frames of an animation, or of slices of a TIFF without smaller copies (pyramids) and masks."""
    with quiet_pillow():
        frames: int = getattr(image, "n_frames", 1)
        if not isinstance(image, TiffImagePlugin.TiffImageFile):
            return frames
        slices = SLICES.match(str(image.tag_v2.get(Tag.ImageDescription, "")))
        count = 0
        for frame in range(frames):
            image.seek(frame)
            if not image.tag_v2.get(Tag.NewSubfileType, 0) & NOT_A_PAGE:
                count += int(image.tag_v2.get(DEPTH, 1))
        image.seek(0)
    return max(1, count, int(slices[1]) if slices else 1)


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
        with quiet_pillow():
            tags = TiffImagePlugin.ImageFileDirectory_v2(start[: 16 if b"+" in start[2:4] else 8])
            file.seek(tags.next)
            tags.load(file)
            bits = sorted({int(number) for number in tags.get(Tag.BitsPerSample, (1,))})
            numbers = NUMBERS.get(int(tags.get(Tag.SampleFormat, (1,))[0]), "")
            bands = counted(int(tags.get(Tag.SamplesPerPixel, 1)), "band")
    except (OSError, *BROKEN):
        return ""
    return f" of {bands} of {' and '.join(map(str, bits))} bits{numbers}"
