"""Makes Ctrl+C end a command at any time with one line and exit status 130. Imports nothing that takes time."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

INTERRUPTED_STATUS = 130
LINE = "interrupted"

Result = TypeVar("Result")


def end_at_once() -> None:
    """From now on Ctrl+C ends the process on the spot: for the time in which a command imports what it needs.

    An exception would not do: some packages swallow one that comes while they are imported, and fail later.
    """

    def end(*_: object) -> None:
        os.write(2, f"{LINE}\n".encode())
        os._exit(INTERRUPTED_STATUS)

    _handle(end)


def interruptible(main: Callable[[], Result]) -> Result:
    r"""Runs a command: Ctrl+C raises `KeyboardInterrupt` in it, and ends the process unless the command handles it.

    A letter that the terminal cannot show is printed as its code (``\xfc``), so that no path or name ends a command.

    Raises:
        SystemExit: with status 130, after one line.
    """
    _handle(signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return main()
    except KeyboardInterrupt:
        print(LINE, file=sys.stderr)
        sys.exit(INTERRUPTED_STATUS)


def _handle(handler: Callable[..., object]) -> None:
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a shell lets what it starts in the background ignore it
        signal.signal(signal.SIGINT, handler)
