"""Writes result files atomically, and raises one clear line if that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffseg.files import writing as files


class WriteError(OSError):
    """A result file cannot be written. The message names the file, the reason, and what to do."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Context that turns an OSError into a `WriteError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"{path}: cannot be written ({error.strerror or error}); recorded results are kept: remove the cause, then "
            "start the same command again"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file atomically: a reader finds the old file or the new one.

    Raises:
        WriteError: the file cannot be written; the old one is kept.
    """
    with writing(path):
        files.write_text(path, text)


def make_folder(folder: Path) -> None:
    """Creates a folder and its parents, unless it exists.

    Raises:
        WriteError: it cannot be created.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
