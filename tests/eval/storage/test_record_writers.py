"""Writers of records that are killed, that come second, or that fill the disk."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from eval.storage.records import RecordError, RecordFile

from tests.conftest import ROOT
from tests.helpers.record_lines import KEY, done, ok


def start(path: Path, code: str) -> subprocess.Popen[str]:
    """Starts a Python process that opens the records of ``path`` as ``records`` and runs ``code``."""
    script = f"""
import os, signal, sys
from eval.storage.records import RecordFile
from tests.helpers.record_lines import SETTINGS, ok
with RecordFile({str(path)!r}) as records:
    records.declare(SETTINGS)
{code}
"""
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_the_error_for_a_second_process_names_the_first(path: Path) -> None:
    writer = start(path, "    print('open', flush=True)\n    sys.stdin.readline()")
    assert writer.stdout is not None
    try:
        assert writer.stdout.readline() == "open\n"
        message = rf"records\.jsonl: another run \(process {writer.pid}\) is writing there"
        with pytest.raises(RecordError, match=message), RecordFile(path):
            pass
    finally:
        writer.communicate("end\n", timeout=120)
    with RecordFile(path) as records:
        assert done(records, KEY) == {"a", "b"}


@pytest.mark.parametrize(
    ("kill", "survives"),
    [
        # After the first 20 bytes of the line.
        (
            "    write = records._file.write\n"
            "    class Half:\n"
            "        def write(self, line): write(line[:20]); os.kill(os.getpid(), signal.SIGKILL)\n"
            "        def truncate(self, size): pass\n"
            "    records._file = Half()\n",
            {"a", "b"},
        ),
        # After the line, before fsync: the system still has the line.
        ("    os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n", {"a", "b", "c"}),
    ],
    ids=["half a line", "before fsync"],
)
def test_a_killed_writer_loses_at_most_its_last_record(path: Path, kill: str, survives: set[str]) -> None:
    before = path.stat().st_size
    writer = start(path, f"{kill}    records.append(ok('c'))")
    _, errors = writer.communicate(timeout=120)
    assert writer.returncode == -signal.SIGKILL, errors
    assert path.stat().st_size > before
    with RecordFile(path) as records:
        assert done(records, KEY) == survives
        records.append(ok("d"))
    with RecordFile(path) as records:
        assert done(records, KEY) == survives | {"d"}


def test_every_record_reported_as_written_survives_a_kill(path: Path) -> None:
    writer = start(
        path,
        "    for number in range(10**9):\n"
        "        records.append({**ok(f'image {number}'), 'filler': 'x' * 5000})\n"
        "        print(number, flush=True)",
    )
    assert writer.stdout is not None
    for number in range(20):
        assert writer.stdout.readline() == f"{number}\n"
    writer.kill()
    reported = 20 + writer.stdout.read().count("\n")
    writer.communicate(timeout=120)
    with RecordFile(path) as records:
        assert done(records, KEY) >= {f"image {number}" for number in range(reported)}


def test_a_full_disk_raises_and_what_it_left_is_removed(path: Path) -> None:
    whole = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with RecordFile(path) as records:
        # The file may grow by 10 bytes: the first write is cut short, the next one fails.
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                records.append(ok("c"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(path.read_bytes()) == len(whole) + 10
        assert done(records, KEY) == {"a", "b"}
        records.append(ok("d"))
        assert path.read_bytes() == whole + json.dumps(ok("d")).encode() + b"\n"
    with RecordFile(path) as records:
        assert done(records, KEY) == {"a", "b", "d"}
