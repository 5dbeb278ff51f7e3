"""Runs a command of this project: handles Ctrl+C, terminals, pipes and errors. Imports nothing slow.

A command calls `begin_command` before it imports its packages, and then `run_command`. Ctrl+C is handled here and
nowhere else.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from diffseg.texts import on_one_line

ERROR_STATUS = 2
INTERRUPTED_STATUS = 130
BROKEN_PIPE_STATUS = 141  # as a shell reports a process that SIGPIPE ended
INTERRUPTED = "interrupted"
TRACEBACK = "DIFFSEG_TRACEBACK"
"""Environment variable for developers. If it is set, an error ends a command with Python's traceback."""

NEW_OBJECTS = 100_000
"""Number of new objects after which Python searches for garbage; its default, 700, slows imports by a fifth."""

Outcome = TypeVar("Outcome")


def begin_command() -> None:
    """Prepares the process for the imports of a command, which take seconds.

    - Ctrl+C ends the process at once, with one line. Raising KeyboardInterrupt would not work: some packages catch it
      during their import, and fail later. The system's default handler would print no line.
    - Python searches for garbage less often, and not at the end of the process. torch and transformers create a million
      objects that are never garbage: the last search alone takes more than a second. The command keeps this setting.
    """
    gc.set_threshold(NEW_OBJECTS)
    atexit.register(gc.freeze)  # the last search skips frozen objects

    def end(*_: object) -> None:
        os.write(2, f"{INTERRUPTED}\n".encode())
        os._exit(INTERRUPTED_STATUS)

    _handle(end)


def run_command(main: Callable[[], Outcome]) -> Outcome:
    r"""Runs a command. An error or Ctrl+C ends it with one line.

    - Ctrl+C raises `KeyboardInterrupt` in the command, and ends the process unless the command handles it.
    - A letter that the terminal cannot show is printed as its code (``\xfc``), so no path or name makes a command fail.
    - A reader that stops early (``| head``) ends the command without a message.
    - An error that the command does not handle prints one line, which names the place in the code. With the
      environment variable DIFFSEG_TRACEBACK=1 it prints Python's traceback.

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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python still writes as it shuts down
        sys.exit(BROKEN_PIPE_STATUS)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(ERROR_STATUS)


@contextmanager
def interruptible(state: str, prefix: str = "") -> Iterator[None]:
    """Context in which Ctrl+C ends the command with status 130 and one line: ``prefix``, ``interrupted;``, ``state``.

    ``state`` says which results are complete, or how to resume.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"{prefix}{INTERRUPTED}; {state}", file=sys.stderr)
        sys.exit(INTERRUPTED_STATUS)


def one_line(error: Exception) -> str:
    """Message for an unexpected error: its text and, except for OSError, its class and its place in the code.

    >>> one_line(FileNotFoundError(2, "No such file or directory", "cat.jpg"))
    "[Errno 2] No such file or directory: 'cat.jpg'"
    """
    text = on_one_line(error)
    if isinstance(error, OSError) and text:
        return text
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    place = f" at {own[-1].filename}:{own[-1].lineno}" if own else ""
    return f"{type(error).__name__}{place}: {text or 'no message'} ({TRACEBACK}=1 shows the traceback)"


def _handle(handler: Callable[..., object]) -> None:
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a shell makes its background processes ignore Ctrl+C
        signal.signal(signal.SIGINT, handler)
