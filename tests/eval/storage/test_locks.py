"""Locks, on file systems with and without support for them."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eval.storage.locks import Locked, locked

CHILD = """
import sys
from pathlib import Path
{patch}
from eval.storage.locks import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.readline()
"""
NO_LOCKS = """
import errno, fcntl
def refuse(*_): raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = refuse
"""


def child(path: Path, patch: str = "") -> subprocess.Popen[str]:
    """A process that holds the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(patch=patch), str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


@pytest.fixture(params=["locks", "no locks"])
def patch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "locks":
        return ""

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    return NO_LOCKS


def test_another_process_is_named_and_its_end_frees_the_lock(tmp_path: Path, patch: str) -> None:
    path = tmp_path / "records.jsonl"
    holder = child(path, patch)
    try:
        with pytest.raises(Locked, match=f"process {holder.pid}"), locked(path):
            pass
    finally:
        holder.kill()  # a killed process cannot release the lock itself
        holder.wait()
    with locked(path), pytest.raises(Locked, match=f"process {os.getpid()}"), locked(path):
        pass
    with locked(path):
        pass


def test_other_errors_of_the_file_system_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output"), locked(tmp_path / "records.jsonl"):
        pass
