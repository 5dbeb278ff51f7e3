"""Finds the photographs that the arguments of ``python -m diffseg`` name: files, folders, patterns, standard input."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from diffseg.files.writing import distinct_names

SUFFIXES = {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
"""File suffixes of photographs in folders and patterns. A file that the user names may have any suffix."""

RESULT = re.compile(r"\.(labels|overlay|named)\.png$|^contact_sheet(_\d+)?\.png$")
"""Names of the files that this command writes. Patterns skip them."""

STDIN = Path("-")
SHOWN = 5  # names of skipped files in one line


def find_photos(given: Sequence[Path], out: Path | None) -> tuple[dict[Path, str], list[str]]:
    """Finds the photographs that are given, in that order; those of a folder or a pattern are sorted.

    Takes files, folders, patterns with ``*``, ``?``, ``[`` or ``**``, or `STDIN`. Returns photograph -> name of its
    results, all distinct, and a line for each folder in which something was skipped. Raises ValueError if a folder or
    pattern has no photograph, or ``out``, the folder of the results, is one of the folders.
    """
    photos: list[Path] = []
    notes: list[str] = []
    for path in given:
        if path.is_dir():
            photos += _in_folder(path, out, notes)
        elif path != STDIN and not path.exists() and glob.has_magic(str(path)):
            files = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - Path.glob takes no absolute pattern
            if not (matching := sorted(file for file in files if _is_photo(file) and not RESULT.search(file.name))):
                raise ValueError(f"{path}: no photograph matches ({', '.join(sorted(SUFFIXES))})")
            photos += matching
        else:
            photos.append(path)
    photos = list(dict.fromkeys(photos))
    names = distinct_names("stdin" if path == STDIN else path.stem for path in photos)
    return dict(zip(photos, names, strict=True)), notes


def _in_folder(folder: Path, out: Path | None, notes: list[str]) -> list[Path]:
    if out is not None and out.resolve() == folder.resolve():
        raise ValueError(f"argument -o/--out: {out} holds the photographs, give another folder")
    visible = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    photos = [file for file in visible if _is_photo(file)]
    if not photos:
        raise ValueError(f"{folder}: the folder holds no photographs ({', '.join(sorted(SUFFIXES))})")
    if skipped := [file.name for file in visible if file.is_file() and not _is_photo(file)]:
        files = _first_names(skipped)
        notes.append(f"{folder}: skipped {files}: no picture by its suffix (name a file to read it anyway)")
    if folders := [f"{path.name}/" for path in visible if path.is_dir() and path != out]:
        notes.append(f"{folder}: skipped {_first_names(folders)}: sub-folders (give '{folder}/**' to read them)")
    return photos


def _is_photo(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _first_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
