"""Reads the results of sweeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.helpers.runs import Run, without_timings

Sweep = Callable[..., Run]


def jobs(run: Run) -> dict[str, Any]:
    """Job -> name -> content of its tables and its configuration, without timings."""
    folders = [path for path in sorted(run.folder.iterdir()) if path.name.isdecimal()]
    files = {path.name: without_timings(path) for path in folders}
    return {
        job: {name: each for name, each in of_job.items() if name.endswith((".csv", ".md", "config.yaml"))}
        for job, of_job in files.items()
    }


def results(run: Run) -> tuple[list[str], dict[str, bytes]]:
    """All records without timings, and all label maps, from one folder or several."""
    records = []
    for path in run.folder.rglob("records.jsonl"):
        for line in path.read_text().splitlines():
            records.append(json.dumps({key: value for key, value in json.loads(line).items() if key != "seconds"}))
    labels = {"/".join(path.parts[-2:]): path.read_bytes() for path in run.folder.rglob("labels/*/*.png")}
    return sorted(set(records)), labels


def contents_of(folder: Path) -> dict[str, bytes | None]:
    """Files and folders, without the file that Hydra writes at every launch."""
    paths = [path for path in folder.rglob("*") if path.name != "multirun.yaml"]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}
