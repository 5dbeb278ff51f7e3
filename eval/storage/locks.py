"""Locks that let only one process write to a file. The system releases a lock when its process ends or is killed.

On file systems without locks (some network disks), a lock file names its host and process. It is ignored once that
process has ended.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

LONGEST_WAIT = 60.0
"""Seconds that `locked_shortly` waits."""

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Locked(Exception):
    """Another process holds the lock. The message names the process."""


def lock_path(path: Path) -> Path:
    """Path of the lock file of ``path``."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Context in which no other process can lock ``path``.

    Raises:
        Locked: another process holds the lock.
    """
    file = lock_path(path)
    lock: BaseFileLock = FileLock(file, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
        with suppress(OSError):  # Windows does not allow writing to a locked file
            file.write_text(str(os.getpid()))
    except Timeout:
        raise Locked(f"process {_owner(file)}") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        lock = _soft_lock(path)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def locked_shortly(path: Path) -> Iterator[None]:
    """Context in which no other process can lock ``path``; waits for the other process, which takes milliseconds."""
    deadline = time.monotonic() + LONGEST_WAIT
    while True:
        try:
            with locked(path):
                yield
                return
        except Locked:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _soft_lock(path: Path) -> SoftFileLock:
    """Takes a lock on a file system without locks."""
    lock = SoftFileLock(path.with_name(f".{path.name}.softlock"), blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise Locked(f"process {lock.pid or 'unknown'}") from None
    return lock


def _owner(file: Path) -> str:
    """Id of the process that holds the lock."""
    try:
        return file.read_text().strip() or "unknown"
    except OSError:
        return "unknown"
