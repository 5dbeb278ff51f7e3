"""Writes files completely or not at all, makes their names distinct, and hashes them. Imports nothing slow."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Path of a temporary file beside ``path``; it replaces ``path`` in one step when the block ends without an error.

    A reader finds the old file or the new one, never a part. The content is on the disk before it replaces the old one.
    The temporary file is named after ``path``, so the next attempt overwrites the remains of a killed process.

    Raises:
        OSError: the file cannot be written; its ``filename`` is ``path``. The old file is still there.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # the error names no file, or the temporary one
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 file with Unix line ends through `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def distinct_names(names: Iterable[str]) -> list[str]:
    """Adds a number to repeated names: ``cat``, ``cat_2``. Case is ignored, because some file systems ignore it.

    >>> distinct_names(["cat", "Cat", "dog", "cat"])
    ['cat', 'Cat_2', 'dog', 'cat_3']
    """
    taken: set[str] = set()
    unique = []
    for name in names:
        distinct, number = name, 1
        while distinct.casefold() in taken:
            number += 1
            distinct = f"{name}_{number}"
        taken.add(distinct.casefold())
        unique.append(distinct)
    return unique


def sha256_of(path: Path) -> str:
    """sha256 (hex) of a file. A process reads it again only if its size or the time of its last change differs."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)  # bounded: a run over a whole data set asks for each file
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
