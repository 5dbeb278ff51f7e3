"""Paths as people type them: ``~`` is the home folder. Imports nothing that takes time."""

from __future__ import annotations

from pathlib import Path


class NoHome(FileNotFoundError):
    """A path begins with ``~``, and nobody knows that home folder; the message names the path and the remedy."""


def expanded(path: str | Path) -> Path:
    """The path with a leading ``~`` or ``~user`` replaced by the home folder.

    >>> expanded("pictures/cat.jpg").as_posix()
    'pictures/cat.jpg'

    Raises:
        NoHome: the home folder is unknown.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise NoHome(f"{path}: {no_home(str(path))}") from None


def no_home(path: str) -> str:
    """Why the ``~`` of a path stands for nothing here, and what to do."""
    user = Path(path).parts[0].removeprefix("~")
    if user:
        return f"there is no user {user} on this machine; type the whole path"
    return "this user has no home folder; set the environment variable HOME, or type the whole path"
