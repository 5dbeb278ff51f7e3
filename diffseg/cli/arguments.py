"""Shared by the command lines of this project: one-line errors, and types of arguments. Imports nothing slow."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from diffseg.files.paths import NoHome, expanded


class Parser(argparse.ArgumentParser):
    """Reports wrong arguments in one line, takes no abbreviated options, and keeps the lines of its description."""

    def __init__(self, **options: Any) -> None:
        usual: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
        super().__init__(**usual | options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help shows all options)\n")


def positive_int(text: str) -> int:
    """Reads an argument as a number. Raises ArgumentTypeError unless it is whole and at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1, got {text}")
    return int(text)


def path_argument(text: str) -> Path:
    """Reads an argument as a path; expands ``~``. Raises ArgumentTypeError if it is empty or has no home folder."""
    if not text:  # Path("") is the current folder
        raise argparse.ArgumentTypeError("is empty; give a path")
    try:
        return expanded(text)
    except NoHome as error:
        raise argparse.ArgumentTypeError(str(error)) from None
