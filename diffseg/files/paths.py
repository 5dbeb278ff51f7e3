"""Expands ``~``, the home folder, in paths. Imports nothing slow."""

from __future__ import annotations

from pathlib import Path


class NoHome(FileNotFoundError):
    """A path begins with ``~``, and that home folder is unknown. The message names the path and says what to do."""


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
    """Says why the ``~`` of a path cannot be expanded, and what to do."""
    user = Path(path).parts[0].removeprefix("~")
    if user:
        return f"there is no user {user} on this machine; type the whole path"
    return "this user has no home folder; set the environment variable HOME, or type the whole path"
