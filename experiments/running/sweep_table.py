"""``sweep.csv``, the jobs of a sweep's last launch with their scores, and what a sweep prints in the end. No torch."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from eval.files import writing
from eval.markdown import coarse, fixed, pipe_table, with_interval
from eval.results import SWEEP_TABLE, ResultsError, read_results
from eval.tables import write_csv


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


def remove_stale_sweep_table(folder: Path) -> None:
    """Removes the table of a sweep from the folder of a single run whose own tables are written: those are read now."""
    path = folder / SWEEP_TABLE
    if path.is_file():
        with writing(path):
            path.unlink()
        print(f"{path}: removed, so that this run's tables are read; the sweep's jobs stay in their folders")


def warn_unused_folders(sweep: Path, count: int) -> None:
    """Says what lies in the folder of a sweep beside the ``count`` jobs of its last launch."""
    from experiments.running.sweep_folders import EARLIER

    numbers = sorted(int(path.name) for path in sweep.iterdir() if path.name.isdecimal())
    others = [str(number) for number in numbers if number >= count]
    kept = [f"jobs of earlier launches, in the folders {', '.join(others)}"] if others else []
    if (sweep / EARLIER).is_dir():
        kept.append(f"records of other points, in {sweep / EARLIER}")
    if kept:
        print(f"Kept, and not in these tables: {'; '.join(kept)}", flush=True)


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
    blocks += [f"\n{caveat}\n" for caveat in coarse(summary["images"])]
    return "".join(blocks)
