"""Reads the photographs from which the paper's figures are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets.photos import PHOTO_FILES, Photos
from diffseg.files import distinct_names
from diffseg.image_files import PhotoError, read_photo
from diffseg.paths import expanded
from diffseg.pictures import Pixels


def read_photographs(given: Sequence[str]) -> dict[str, Pixels]:
    """Name -> ``(h, w, 3)`` uint8, in order; the names are distinct.

    Args:
        given: files, and names of built-in photographs.

    Raises:
        PhotoError: an entry is neither a built-in photograph nor a file that can be read.
    """
    return dict(zip(distinct_names(Path(name).stem for name in given), map(_read, given), strict=True))


def _read(photo: str) -> Pixels:
    if photo in PHOTO_FILES:
        return Photos().load(photo).image
    path = expanded(photo)
    if not path.is_file():
        raise PhotoError(f"--photo: {photo} is no file and none of {', '.join(PHOTO_FILES)}")
    return read_photo(path)
