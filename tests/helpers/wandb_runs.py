"""Shows finished results to the wandb tracker, and reads the wandb runs that it recorded."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from eval.protocols import PROTOCOLS
from eval.results.row_results import RowResults
from eval.results.run_config import read_config
from eval.storage.records import Record
from eval.tracking.base import RunFacts, Tracker, Tracking
from eval.tracking.wandb_tracker import WandbTracker
from tests.helpers.wandb_file import WandbFile, read_wandb_file

wandb = pytest.importorskip("wandb")

KEY = "a1b2c3d4e5" * 4  # as long as a real one
NOWHERE = "http://127.0.0.1:9"  # nothing listens on the discard port
OFFLINE = WandbTracker(mode="offline")
ROWS = "[{name: DiffSeg, overrides: ['segmenter.tau=0.2,0.4']}, {name: K-Means, overrides: ['segmenter=kmeans_s']}]"


def rows(folder: Path) -> list[RowResults]:
    return read_config(folder)[1]


def images(folder: Path, key: str | None = None) -> list[Record]:
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    return [record for record in records if record["type"] == "image" and key in (None, record["key"])]


def begin(tracker: Tracker, folder: Path, chosen: slice = slice(None), **job: Any) -> Tracking:
    classes = list(pd.read_csv(folder / "per_class.csv")["class"].drop_duplicates())
    return tracker.open(RunFacts(folder, rows(folder)[chosen], classes, PROTOCOLS, pictures=2, **job))


def track(tracking: Tracking, folder: Path) -> None:
    for record in 2 * images(folder):  # the second showing must add nothing
        tracking.record(record)
    tracking.finish()
    tracking.close(failed=False)


def recorded(folder: Path) -> list[tuple[Path, WandbFile]]:
    """Folders and contents of the wandb runs below a results folder, in the order of its rows.

    Runs of the same row, or of a folder without rows, are in the order of their start times, which wandb stores in
    microseconds. The folders' names hold only seconds. wandb's process may write the files in another order.
    """
    wandb.teardown()  # waits until wandb's process has written everything
    keys = [row.key for row in rows(folder)] if (folder / "config.yaml").is_file() else []
    found = [(path.parent, read_wandb_file(path)) for path in folder.glob("wandb/*/run-*.wandb")]

    def order(each: tuple[Path, WandbFile]) -> tuple[int, int]:
        row = next((number for number, key in enumerate(keys) if key in each[1].run.run_id), 0)
        return row, each[1].run.start_time.ToNanoseconds()

    return sorted(found, key=order)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("eval")]


def would_upload(line: str) -> list[Path]:
    """Folders that the printed command would upload, from a dry run of wandb."""
    arguments = line.partition("wandb sync")[2]
    shell = f"{shlex.quote(sys.executable)} -m wandb sync --dry-run --verbose {arguments}"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, check=True)
    return [Path(found[1]).parent for found in re.finditer(r"^wandb:\s+(/.+\.wandb)$", done.stderr, re.MULTILINE)]
