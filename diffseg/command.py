"""How a command of this project runs and ends: Ctrl+C, terminals, pipes, errors. Imports nothing that takes time."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn, TypeVar

ERROR_STATUS = 2
INTERRUPTED_STATUS = 130
BROKEN_PIPE_STATUS = 141  # as a shell reports a process that SIGPIPE ended
INTERRUPTED = "interrupted"
TRACEBACK = "DIFFSEG_TRACEBACK"
"""Environment variable that lets an error end a command with Python's traceback, for whoever writes a part."""

Outcome = TypeVar("Outcome")


def end_at_once() -> None:
    """From now on Ctrl+C ends the process on the spot: for the seconds in which a command imports what it needs.

    An exception would not do: some packages swallow one that comes while they are imported, and fail later. The
    system's own handler would not print a line.
    """

    def end(*_: object) -> None:
        os.write(2, f"{INTERRUPTED}\n".encode())
        os._exit(INTERRUPTED_STATUS)

    _handle(end)


def run_command(main: Callable[[], Outcome]) -> Outcome:
    r"""Runs a command, so that it ends in one line whatever happens.

    - Ctrl+C raises `KeyboardInterrupt` in it, and ends the process unless the command handles it.
    - A letter that the terminal cannot show is printed as its code (``\xfc``): no path or name ends a command.
    - A reader that wants no more (``| head``) ends the command without a word.
    - An error that the command does not handle is one line that names the place in the code; with the environment
      variable DIFFSEG_TRACEBACK=1 it is Python's traceback.

    Raises:
        SystemExit: with status 130, 141 or 2.
    """
    _handle(signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        result = main()
        sys.stdout.flush()  # a broken pipe shows here, not when Python shuts down
        return result
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        sys.exit(INTERRUPTED_STATUS)
    except BrokenPipeError:
        _end_quietly()
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(ERROR_STATUS)


def one_line(error: Exception) -> str:
    """What a user reads of an error that nobody foresaw: an OSError's own words, else also where it comes from.

    >>> one_line(FileNotFoundError(2, "No such file or directory", "cat.jpg"))
    "[Errno 2] No such file or directory: 'cat.jpg'"
    """
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and text:
        return text
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    place = f" at {own[-1].filename}:{own[-1].lineno}" if own else ""
    return f"{type(error).__name__}{place}: {text or 'no message'} ({TRACEBACK}=1 shows the traceback)"


def _end_quietly() -> NoReturn:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still writes as it shuts down
    sys.exit(BROKEN_PIPE_STATUS)


def _handle(handler: Callable[..., object]) -> None:
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a shell lets what it starts in the background ignore it
        signal.signal(signal.SIGINT, handler)
