"""``sweep.csv``, the jobs of a sweep's last launch with their scores, and what a sweep prints in the end. No torch."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from eval.markdown import fixed, pipe_table, with_interval
from eval.tables import write_csv
from experiments.results import SWEEP_TABLE, ResultsError, read_results


def begin(sweep: Path, first: int, count: int) -> None:
    """Lists the jobs of a launch before any has run, so that those of another launch are not taken for theirs.

    Args:
        sweep: folder of the numbered ones.
        first, count: numbers of the jobs; those before the first were launched earlier by the same command.
    """
    _write(sweep, first, count, finished=False)


def conclude(sweep: Path, first: int, count: int) -> None:
    """Writes the summaries of all jobs as one table, and prints it. A job that has none stands there without scores."""
    _write(sweep, first, count, finished=True)
    try:
        overview = _overview(read_results(sweep).summary)
    except ResultsError:  # no job has finished, or they report no score in common
        overview = "\n"
    print(f"{overview}Tables: {sweep / SWEEP_TABLE}, and in each job's folder", flush=True)


def _write(sweep: Path, first: int, count: int, finished: bool) -> None:
    path = sweep / SWEEP_TABLE
    parts = []
    if first and path.is_file():
        earlier = pd.read_csv(path, dtype=str)
        parts.append(earlier[earlier["job"].astype(int) < first])
    for number in range(first, first + count):
        summary = sweep / str(number) / "summary.csv"
        done = finished and summary.is_file()
        part = pd.read_csv(summary, dtype=str) if done else pd.DataFrame(index=[0])
        part.insert(0, "job", str(number))
        parts.append(part)
    write_csv(path, pd.concat(parts))


def _overview(summary: pd.DataFrame) -> str:
    """A line a job and row, as Markdown."""
    blocks = []
    for protocol, rows in summary.groupby("protocol", sort=False):
        cells = {
            "job": rows["job"],
            "setting": rows["setting"],
            **{
                title: [with_interval(*row) for row in rows[[name, f"{name}_low", f"{name}_high"]].to_numpy()]
                for title, name in (("ACC % [95 %]", "acc"), ("mIoU % [95 %]", "miou"))
            },
            "segments": [fixed(value) for value in rows["segments"]],
        }
        blocks.append(f"\nScore `{protocol}`\n\n{pipe_table(cells)}")
    return "".join(blocks)
