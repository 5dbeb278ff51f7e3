"""Reads and writes ``sweep.csv``, the jobs of a sweep's last launch with their summaries. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from eval.results.tables import write_csv
from eval.storage.layout import SUMMARY_CSV, SWEEP_CSV


def write_jobs(sweep: Path, folders: Sequence[Path], finished: bool) -> None:
    """Writes the summaries of all jobs as one table.

    Args:
        sweep: folder of the sweep.
        folders: folders of the jobs.
        finished: False before the jobs run. A job without a summary has a line without scores; before the jobs run,
            every job has.

    Raises:
        WriteError: the file could not be written.
    """
    parts = []
    for folder in folders:
        summary = folder / SUMMARY_CSV
        done = finished and summary.is_file()
        part = pd.read_csv(summary, dtype=str, keep_default_na=False) if done else pd.DataFrame(index=[0])
        part.insert(0, "job", folder.name)
        parts.append(part)
    write_csv(sweep / SWEEP_CSV, pd.concat(parts))


def read_jobs(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yields name and folder of each job of a sweep; with ``sweep.csv``, only of the jobs that it lists.

    Args:
        folder: folder of a sweep, or of a run, which is the only job and has the name "".
    """
    table = folder / SWEEP_CSV
    if not table.is_file() and ((folder / SUMMARY_CSV).is_file() or not folder.is_dir()):
        yield "", folder
        return
    numbered = [path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()]
    if table.is_file():
        launched = set(pd.read_csv(table, dtype=str)["job"])
        numbered = [path for path in numbered if path.name in launched]
    for path in sorted(numbered, key=lambda path: int(path.name)):
        yield path.name, path
