"""Shows made rows to the wandb tracker, and reads the wandb runs that it recorded."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from eval.records import Record
from eval.row import Row
from eval.tracking.base import Tracker, Tracking
from eval.tracking.wandb_tracker import WandbTracker
from tests.helpers.wandb_file import WandbFile, read_wandb_file

wandb = pytest.importorskip("wandb")

KEY = "a1b2c3d4e5" * 4  # as long as a real one
NOWHERE = "http://127.0.0.1:9"  # nothing listens on the discard port
OFFLINE = WandbTracker(mode="offline")
TOKEN = "t0ken"
FINAL = {"final/images": 2, "final/present/miou": 100 / 3}


def track(
    folder: Path, rows: Sequence[Row], new: Sequence[Record] = (), tracker: Tracker = OFFLINE, killed: bool = False
) -> None:
    """Tracks rows and their new records as a run does."""
    tracking = Tracking(tracker, folder, TOKEN)
    for row in rows:
        tracking.start(row, f"{row.name}, {row.key}")
    for record in new:
        tracking.record(record)
    for row in [] if killed else rows:
        tracking.finish(row, FINAL)
    tracking.close(failed=killed)


def recorded(folder: Path) -> list[tuple[Path, WandbFile]]:
    """Folders and contents of the wandb runs below a results folder, in the order of their start times."""
    wandb.teardown()  # waits until wandb's process has written everything
    files = [(path.parent, read_wandb_file(path)) for path in folder.glob("wandb/*/run-*.wandb")]
    return sorted(files, key=lambda place: place[1].run.start_time.ToNanoseconds())


def would_upload(line: str) -> list[Path]:
    """Folders that the printed command would upload, from a dry run of wandb."""
    arguments = line.partition("wandb sync")[2]
    shell = f"{shlex.quote(sys.executable)} -m wandb sync --dry-run --verbose {arguments}"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, check=True)
    return [Path(match[1]).parent for match in re.finditer(r"^wandb:\s+(/.+\.wandb)$", done.stderr, re.MULTILINE)]
