"""Locks that let only one process write to a file. The system releases a lock when its process ends or is killed.

On file systems without locks (some network disks), a lock file names its host and process. It is ignored once that
process has ended.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

SHORT_WORK = 60.0
"""Seconds to wait for a process whose work takes milliseconds."""

BETWEEN_TRIES = 0.01  # seconds
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Locked(Exception):
    """Another process holds the lock. The message names the process."""


@contextmanager
def locked(path: Path, wait: float = 0.0) -> Iterator[None]:
    """Context in which no other process can lock ``path``.

    Args:
        path: a file, which may be missing.
        wait: seconds to wait for another process.

    Raises:
        Locked: another process holds the lock.
    """
    try:
        lock = _acquired(FileLock(path.with_name(f".{path.name}.lock"), timeout=wait, fallback_to_soft=False))
        with suppress(OSError):  # Windows does not allow writing to a locked file
            Path(lock.lock_file).write_text(str(os.getpid()))
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        lock = _acquired(SoftFileLock(path.with_name(f".{path.name}.softlock"), timeout=wait))
    try:
        yield
    finally:
        lock.release()


def _acquired(lock: BaseFileLock) -> BaseFileLock:
    try:
        lock.acquire(poll_interval=BETWEEN_TRIES)
    except Timeout:
        try:
            owner = Path(lock.lock_file).read_text().split()
        except OSError:
            owner = []
        raise Locked(f"process {owner[0] if owner else 'unknown'}") from None
    return lock
