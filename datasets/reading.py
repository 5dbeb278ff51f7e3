"""Decodes pictures, label maps and lists. A file that cannot be used raises a `DatasetError` that names it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.base import VOID, DatasetError, Picture
from diffseg.image_files import Photo, PhotoError, decode_photo, opened
from diffseg.label_maps import Colours, read_label_map
from diffseg.remarks import Remark


@contextmanager
def _dataset_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except PhotoError as error:
        if not path.exists():
            raise DatasetError(f"{path}: the file is missing; unpack or copy it again") from None
        raise DatasetError(str(error)) from error


def read_photo(path: Path, upright: bool = False) -> Photo:
    """Decodes a picture and what is to be said about it, by the rules of `diffseg.image_files.decode_photo`.

    Args:
        path: any format that Pillow reads.
        upright: True turns the picture as its EXIF data say. False is for published data sets, whose ground truth is
            aligned with the stored pixels.

    Raises:
        DatasetError: the file is missing, damaged, too large or no picture.
    """
    with _dataset_errors(path):
        return decode_photo(path, upright=upright)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decodes a picture as stored: ``(h, w, 3)`` uint8 RGB. Raises `DatasetError` as `read_photo`."""
    return read_photo(path).pixels


def read_label(path: Path, colours: Colours = "refused") -> NDArray[np.integer]:
    """Decodes a label map to ``(h, w)`` integers, see `diffseg.label_maps.read_label_map`.

    Raises:
        DatasetError: the file is missing, damaged or no label map.
    """
    with _dataset_errors(path):
        return read_label_map(path, colours)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as stored, from its header. Raises `DatasetError` as `read_photo`."""
    with _dataset_errors(path), opened(path) as image:
        return image.size


def format_of(path: Path) -> str:
    """Format of a file for reports, such as ``PNG, RGB``: from the header of a picture, else from its suffix."""
    try:
        with opened(path) as image:
            return f"{image.format}, {image.mode}"
    except PhotoError:
        return path.suffix.removeprefix(".") or "no suffix"


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
    id: str,
    image: NDArray[np.uint8],
    label: NDArray[np.int16],
    image_path: Path,
    label_path: Path,
    unscored: Mapping[int, int] | None = None,
    remarks: Sequence[Remark] = (),
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
    return Picture(id, image, label, unscored=unscored or {}, remarks=remarks)
