"""Result files: written whole or not at all, and one clear line where that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffseg import files


class WriteError(OSError):
    """A result file that cannot be written: the message names it, why, and what to do."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError of what is done inside into a `WriteError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"{path}: cannot be written ({error.strerror or error}); what was recorded stays: mend that, and start the "
            "same command again"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file whole or not at all: a reader finds the old one or the new one.

    Raises:
        WriteError: the old file is still there.
    """
    with writing(path):
        files.write_text(path, text)
