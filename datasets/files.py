"""Finds the pictures and label maps of a folder, for all data sets."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from datasets.base import DatasetError

logger = logging.getLogger(__name__)

SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
"""Names, in small letters, of the files that Windows adds to folders of pictures. Those of macOS begin with a dot."""


@dataclass(frozen=True)
class FoundFiles:
    """The files of a folder.

    Attributes:
        paths: id -> file. The id is the path below the folder, with ``/``, without the ending.
        skipped: files with another ending, without hidden files and `SYSTEM_FILES`.
    """

    paths: Mapping[str, Path]
    skipped: Sequence[Path]


def find_files(folder: Path, endings: Sequence[str], nested: bool = False) -> FoundFiles:
    """Lists the files of a folder by their endings.

    Names that begin with a dot are skipped: on foreign disks macOS stores a second file ``._x.jpg`` beside ``x.jpg``.

    Args:
        folder: the folder. If it is empty or missing, no file is found.
        endings: endings of the names, such as ``.jpg``. Capital and small letters are alike.
        nested: True also reads sub-folders. A folder that is linked into itself is read once.

    Raises:
        DatasetError: two files have the same id, such as ``1.jpg`` and ``1.JPG``.
        OSError: the folder cannot be read.
    """
    paths: dict[str, Path] = {}
    skipped = []
    for path in _walk(folder, nested):
        ending = next((each for each in endings if path.name.lower().endswith(each.lower())), None)
        if ending is None:
            skipped.append(path)
            continue
        id = path.relative_to(folder).as_posix()[: -len(ending)]
        if id in paths:
            raise DatasetError(f"{paths[id]} and {path}: both are the file of {id}; move one of them away")
        paths[id] = path
    return FoundFiles(paths, skipped)


def _walk(folder: Path, nested: bool) -> list[Path]:
    """Sorted files, without hidden files and `SYSTEM_FILES`."""
    files, seen = [], set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        place = os.path.realpath(parent)
        folders[:] = [] if place in seen or not nested else sorted(each for each in folders if each[0] != ".")
        if place not in seen:
            files += [Path(parent, name) for name in names if name[0] != "." and name.lower() not in SYSTEM_FILES]
        seen.add(place)
    return sorted(files)


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


@cache
def warn_once(message: str) -> None:
    """Logs a warning. A process logs the same warning once."""
    logger.warning("%s", message)


def warn_skipped(folder: Path, skipped: Sequence[Path]) -> None:
    """Warns about files of a folder that are not read as pictures."""
    if skipped:
        suffixes = ", ".join(sorted({path.suffix or "no suffix" for path in skipped})[:5])
        files = f"{len(skipped)} files" if len(skipped) > 1 else "1 file"
        warn_once(f"{folder}: skipped {files} of another kind ({suffixes}), such as {skipped[0].name}")
