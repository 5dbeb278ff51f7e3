"""Finds the pictures and label maps of a folder, for all data sets."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from datasets.base import DatasetError
from diffseg.files.images import PhotoError, opened
from diffseg.texts import counted

logger = logging.getLogger(__name__)

SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
"""Names, in small letters, of the files that Windows adds to folders of pictures. Those of macOS begin with a dot."""


def find_files(folder: Path, endings: Sequence[str], nested: bool = False, warn: bool = False) -> dict[str, Path]:
    """Lists the files of a folder by their endings, as id -> file. If the folder is missing, no file is found.

    The id is the path below the folder, with ``/``, without the ending. Names that begin with a dot are skipped: on
    foreign disks macOS stores a second file ``._x.jpg`` beside ``x.jpg``.

    Args:
        folder: the folder.
        endings: endings of the names, such as ``.jpg``. Capital and small letters are alike.
        nested: True also reads sub-folders. A folder that is linked into itself is read once.
        warn: True warns of files with other endings.

    Raises:
        DatasetError: two files have the same id, such as ``1.jpg`` and ``1.JPG``.
        OSError: the folder cannot be read.
    """
    paths: dict[str, Path] = {}
    skipped = []
    small = [ending.lower() for ending in endings]
    for parts in sorted(_walk(folder, nested)):
        name = parts[-1].lower()
        ending = next((ending for ending in small if name.endswith(ending)), None)
        path = folder.joinpath(*parts)
        if ending is None:
            skipped.append(path)
            continue
        id = "/".join(parts)[: -len(ending)]
        if id in paths:
            raise DatasetError(f"{paths[id]} and {path}: both are the file of {id}; move one of them away")
        paths[id] = path
    if warn and skipped:
        suffixes = ", ".join(sorted({path.suffix or "no suffix" for path in skipped})[:5])
        warn_once(
            f"{folder}: skipped {counted(len(skipped), 'file')} of another kind ({suffixes}), such as {skipped[0].name}"
        )
    return paths


def _walk(folder: Path, nested: bool) -> Iterator[tuple[str, ...]]:
    """Parts of the paths below the folder of all files but hidden files and `SYSTEM_FILES`. Many paths are slow."""
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        place = os.path.realpath(parent)
        if place in seen or not nested:
            folders.clear()
        folders[:] = [name for name in folders if name[0] != "."]
        if place not in seen:
            above = Path(parent).relative_to(folder).parts
            yield from ((*above, name) for name in names if name[0] != "." and name.lower() not in SYSTEM_FILES)
        seen.add(place)


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def format_of(path: Path) -> str:
    """Format of a file for reports, such as ``PNG, RGB``: from the header of a picture, else from its suffix."""
    try:
        with opened(path) as image:
            return f"{image.format}, {image.mode}"
    except PhotoError:
        return path.suffix.removeprefix(".") or "no suffix"


@cache
def warn_once(message: str) -> None:
    """Logs a warning. A process logs the same warning once."""
    logger.warning("%s", message)
