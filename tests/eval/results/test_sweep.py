"""``sweep.csv``: which jobs it lists, and in which order they are read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from eval.results.sweep import read_jobs, write_jobs


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Folders of four jobs, two of them with a summary, and a folder that is no job."""
    for name in ("2", "10", "9", "0", "labels"):
        (tmp_path / name).mkdir()
    for name in ("2", "10"):
        (tmp_path / name / "summary.csv").write_text(f"row,tau,acc\nDiffSeg,0.{name},50.0\n")
    return tmp_path


def test_summaries_are_one_table_as_they_are_written(sweep: Path) -> None:
    folders = [sweep / name for name in ("2", "9", "10")]
    write_jobs(sweep, folders, finished=True)
    table = pd.read_csv(sweep / "sweep.csv", dtype=str).fillna("")
    assert table.to_numpy().tolist() == [
        ["2", "DiffSeg", "0.2", "50.0"],
        ["9", "", "", ""],
        ["10", "DiffSeg", "0.10", "50.0"],
    ]
    write_jobs(sweep, folders, finished=False)
    assert pd.read_csv(sweep / "sweep.csv", dtype=str).to_dict("list") == {"job": ["2", "9", "10"]}


def test_the_jobs_of_the_last_launch_are_read_in_the_order_of_their_numbers(sweep: Path) -> None:
    assert [name for name, _ in read_jobs(sweep)] == ["0", "2", "9", "10"]
    write_jobs(sweep, [sweep / "10", sweep / "2"], finished=False)
    assert list(read_jobs(sweep)) == [("2", sweep / "2"), ("10", sweep / "10")]


def test_a_run_is_its_only_job(sweep: Path) -> None:
    assert list(read_jobs(sweep / "2")) == [("", sweep / "2")]
    assert list(read_jobs(sweep / "none")) == [("", sweep / "none")]
    assert list(read_jobs(sweep / "9")) == []  # no tables yet
