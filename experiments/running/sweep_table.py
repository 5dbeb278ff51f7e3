"""Writes ``sweep.csv``, the jobs of a sweep's last launch with their scores, and prints it. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from eval.results.markdown import coarse, fixed, pipe_table, with_interval
from eval.results.reading import ResultsError, read_results
from eval.results.sweep import write_jobs
from eval.storage.layout import SWEEP_CSV
from eval.storage.written import WrittenFiles


def list_jobs(sweep: Path, folders: Sequence[Path]) -> None:
    """Lists the jobs of a launch before they run, so that readers ignore the folders of other launches.

    Args:
        sweep: folder of the sweep.
        folders: folders of the jobs.
    """
    WrittenFiles(sweep).add([SWEEP_CSV])
    write_jobs(sweep, folders, finished=False)


def write_sweep_table(sweep: Path, folders: Sequence[Path]) -> None:
    """Writes the summaries of all jobs as one table, and prints it. A job without a summary gets a line without scores.

    Arguments as in `list_jobs`.
    """
    write_jobs(sweep, folders, finished=True)
    try:
        overview = _overview(read_results(sweep).summary)
    except ResultsError:  # no job has finished, or the jobs have no protocol in common
        overview = "\n"
    print(f"{overview}Tables: {sweep / SWEEP_CSV}, and in each job's folder", flush=True)


def remove_stale_sweep_table(folder: Path) -> None:
    """Deletes the table of an earlier sweep from the folder of a single run. Readers would prefer it to the run's."""
    for path in WrittenFiles(folder).delete([SWEEP_CSV]):
        print(f"{path}: removed, so that the tables of this run are read; the sweep's jobs keep their folders")


def warn_unused_folders(sweep: Path, count: int) -> None:
    """Names the job folders of earlier launches. ``count``: number of jobs of the last launch."""
    numbers = sorted(int(path.name) for path in sweep.iterdir() if path.name.isdecimal())
    others = [str(number) for number in numbers if number >= count]
    if others:
        print(f"Jobs of earlier launches are kept, but not in these tables: folders {', '.join(others)}", flush=True)


def _overview(summary: pd.DataFrame) -> str:
    """Markdown table with one line for each job and row."""
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
        blocks.append(f"\nProtocol `{protocol}`\n\n{pipe_table(cells)}")
    blocks += [f"\n{caveat}\n" for caveat in coarse(summary["images"])]
    return "".join(blocks)
