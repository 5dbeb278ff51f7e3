"""Expands ``~``, the home folder, in paths. Imports nothing slow."""

from __future__ import annotations

from pathlib import Path


class NoHome(FileNotFoundError):
    """A path begins with ``~``, and that home folder is unknown. The message names the path and says what to do."""


def expanded(path: str | Path) -> Path:
    """The path with a leading ``~`` or ``~user`` replaced by the home folder. Raises `NoHome` if that is unknown.

    >>> expanded("pictures/cat.jpg").as_posix()
    'pictures/cat.jpg'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = Path(path).parts[0].removeprefix("~")
        fault = "this user has no home folder; set the environment variable HOME, or type the whole path"
        if user:
            fault = f"there is no user {user} on this machine; type the whole path"
        raise NoHome(f"{path}: {fault}") from None
