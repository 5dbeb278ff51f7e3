"""Finds the photographs that the arguments of ``python -m diffseg`` name: files, folders, patterns, standard input."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffseg.files import distinct_names

SUFFIXES = {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
"""File suffixes of photographs in folders and patterns. A file that the user names may have any suffix."""

RESULT = re.compile(r"\.(labels|overlay|named)\.png$|^contact_sheet(_\d+)?\.png$")
"""Names of the files that this command writes. Patterns skip them."""

STDIN = Path("-")
SHOWN = 5  # names of skipped files in one line


@dataclass(frozen=True)
class FoundPhotos:
    """The photographs to segment.

    Attributes:
        names: photograph -> name of its results, in the order given; photographs and names are distinct.
        notes: a line for each folder in which something was skipped.
    """

    names: dict[Path, str]
    notes: list[str]


def find_photos(given: Sequence[Path], out: Path | None) -> FoundPhotos:
    """Finds photographs, in the order given; those of a folder or a pattern are sorted.

    Args:
        given: files, folders, patterns with ``*``, ``?``, ``[`` or ``**``, or `STDIN`.
        out: folder of the results.

    Raises:
        ValueError: a folder or pattern has no photograph, or ``out`` is one of the folders.
    """
    found: dict[Path, None] = {}  # an ordered set
    notes: list[str] = []
    for path in given:
        if path.is_dir():
            found |= dict.fromkeys(_in_folder(path, out, notes))
        elif path != STDIN and not path.exists() and glob.has_magic(str(path)):
            found |= dict.fromkeys(_matching(path))
        else:
            found[path] = None
    names = distinct_names("stdin" if path == STDIN else path.stem for path in found)
    return FoundPhotos(dict(zip(found, names, strict=True)), notes)


def _in_folder(folder: Path, out: Path | None, notes: list[str]) -> list[Path]:
    if out is not None and out.resolve() == folder.resolve():
        raise ValueError(f"argument -o/--out: {out} holds the photographs, give another folder")
    visible = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    photos = [file for file in visible if _is_photo(file)]
    if not photos:
        raise ValueError(f"{folder}: the folder holds no photographs ({', '.join(sorted(SUFFIXES))})")
    if skipped := [file.name for file in visible if file not in set(photos) and file.is_file()]:
        files = _first_names(skipped)
        notes.append(f"{folder}: skipped {files}: no picture by its suffix (name a file to read it anyway)")
    if folders := [f"{each.name}/" for each in visible if each.is_dir() and (out is None or each != out)]:
        notes.append(f"{folder}: skipped {_first_names(folders)}: sub-folders (give '{folder}/**' to read them)")
    return photos


def _matching(pattern: Path) -> list[Path]:
    files = [Path(name) for name in glob.glob(str(pattern), recursive=True)]  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not (photos := sorted(file for file in files if _is_photo(file) and not RESULT.search(file.name))):
        raise ValueError(f"{pattern}: no photograph matches ({', '.join(sorted(SUFFIXES))})")
    return photos


def _is_photo(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _first_names(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
