"""One process writes to a file: a lock that the system lifts when the process ends, however it ends.

File systems without locks (some network disks) get a lock file that names its host and process. Such a file counts for
nothing once its process is gone.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Locked(Exception):
    """Another process holds the lock; the message names it."""


def lock_path(path: Path) -> Path:
    """The file that holds the lock of ``path``."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps other processes from writing to ``path``.

    Raises:
        Locked: another process writes there.
    """
    file = lock_path(path)
    lock: BaseFileLock = FileLock(file, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
        with suppress(OSError):  # Windows lets nobody write to a locked file
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


def _soft_lock(path: Path) -> SoftFileLock:
    """The lock for file systems that have none."""
    lock = SoftFileLock(path.with_name(f".{path.name}.softlock"), blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise Locked(f"process {lock.pid or 'unknown'}") from None
    return lock


def _owner(file: Path) -> str:
    """Number of the process that holds the lock."""
    try:
        return file.read_text().strip() or "unknown"
    except OSError:
        return "unknown"
