"""``sweep.csv``: the jobs of the last launch, and what becomes of it and of other folders."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from experiments.running.sweep_table import (
    list_jobs,
    remove_stale_sweep_table,
    warn_unused_folders,
    write_sweep_table,
)

from eval.results.tables import write_tables
from tests.helpers.made_records import results_of
from tests.helpers.worked_results import CLASSES, DIFFSEG, RECORDS


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two jobs, of which the first has tables."""
    for job in ("0", "1"):
        (tmp_path / job).mkdir()
    write_tables(tmp_path / "0", results_of([DIFFSEG], RECORDS), CLASSES, ["present"])
    return [tmp_path / "0", tmp_path / "1"]


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "sweep.csv", dtype=str)


def test_jobs_are_listed_before_they_run(folders: list[Path], tmp_path: Path) -> None:
    list_jobs(tmp_path, folders)
    assert table(tmp_path).to_dict("list") == {"job": ["0", "1"]}


def test_a_job_without_a_summary_has_a_line_without_scores(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sweep_table(tmp_path, folders)
    assert list(table(tmp_path)["job"]) == ["0", "1"]
    assert list(table(tmp_path)["acc"].fillna("")) == ["75.0000", ""]
    out = capsys.readouterr().out
    assert "|   0 |" in out or "| 0   | DiffSeg" in out
    assert "75.0 [75.0, 75.0] | 63.9 [58.3, 75.0]" in out
    assert out.endswith(f"Intervals over 2 images: coarse.\nTables: {tmp_path}/sweep.csv, and in each job's folder\n")


def test_a_sweep_without_any_summary_has_its_list_of_jobs(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sweep_table(tmp_path, folders[1:])
    assert table(tmp_path).to_dict("list") == {"job": ["1"]}
    assert capsys.readouterr().out == f"\nTables: {tmp_path}/sweep.csv, and in each job's folder\n"


def test_only_a_table_of_this_project_is_removed(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.csv").write_text("a user's\n")
    remove_stale_sweep_table(tmp_path)
    assert (tmp_path / "sweep.csv").is_file()
    list_jobs(tmp_path, folders)
    remove_stale_sweep_table(tmp_path)
    assert not (tmp_path / "sweep.csv").exists()
    assert capsys.readouterr().out.startswith(f"{tmp_path}/sweep.csv: removed, so that the tables of this run are read")


def test_folders_of_earlier_launches_are_named_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("0", "1", "2", "10", "9", "labels"):
        (tmp_path / name).mkdir()
    warn_unused_folders(tmp_path, 2)
    assert capsys.readouterr().out.endswith("not in these tables: folders 2, 9, 10\n")
    warn_unused_folders(tmp_path, 11)
    assert capsys.readouterr().out == ""
