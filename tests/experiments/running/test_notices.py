"""Notices before a run: what is resumed, what is not used, and what differs."""

from __future__ import annotations

from pathlib import Path

import pytest
from eval.storage.records import RecordFile
from experiments.running.notices import FEW_ROWS, warn, warn_other_pictures
from experiments.running.opening import JobOpen, RunOpen

from datasets.cocostuff27 import CocoStuff27
from eval.row_progress import Job
from eval.rows import Row, prepare
from eval.tracking.base import NoTracking
from tests.helpers.coco_folder import write_folder
from tests.helpers.folder_rows import KMEANS, dataset_of, row_config, write_picture
from tests.helpers.open_runs import plan_of


def row_of(folder: Path, clusters: int = 2) -> Row:
    write_picture(folder, "a")
    return prepare(row_config(dataset_of(folder), {**KMEANS, "clusters": clusters}))


def run_of(folder: Path, records: RecordFile, row: Row, code_changed: bool = False) -> RunOpen:
    return RunOpen(folder, records, [JobOpen(plan_of(folder, row.config), Job([row]), NoTracking())], code_changed)


def warned(folder: Path, row: Row, others: int, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Warnings about a folder with records of a few other settings."""
    with RecordFile(folder / "records.jsonl") as records:
        for number in range(others):
            records.declare(row_of(folder / "data", 3 + number).recorded)
        warn(run_of(folder, records, row))
    return [record.getMessage() for record in caplog.records]


def test_nothing_is_said_about_a_new_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert warned(tmp_path, row_of(tmp_path / "data"), 0, caplog) == []
    assert capsys.readouterr().err == ""


def test_results_that_are_there_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = row_of(tmp_path / "data")
    with RecordFile(tmp_path / "records.jsonl") as records:
        key = records.declare(row.recorded)
        for image in ("a", "no longer listed"):
            records.append({"type": "image", "key": key, "image": image, "status": "ok"})
        warn(run_of(tmp_path, records, row))
    assert capsys.readouterr().err == f"{tmp_path}: resuming, 1 results are already there\n"


def test_a_few_other_settings_are_described(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (line,) = warned(tmp_path, row_of(tmp_path / "data"), 1, caplog)
    assert line == (
        f"{tmp_path}/records.jsonl also holds results of other settings; they are kept, and not used here: "
        "segmenter.clusters: 3 -> 2"
    )


def test_many_other_settings_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (line,) = warned(tmp_path, row_of(tmp_path / "data"), FEW_ROWS + 1, caplog)
    assert f"also holds results of {FEW_ROWS + 1} other rows" in line


def test_other_code_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RecordFile(tmp_path / "records.jsonl") as records:
        warn(run_of(tmp_path, records, row_of(tmp_path / "data"), code_changed=True))
    assert caplog.messages[0].startswith(f"{tmp_path}: the code has changed since pictures were recorded here")


def test_a_part_of_the_official_pictures_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    warn_other_pictures(row_config(CocoStuff27(root=str(write_folder(tmp_path)))))
    assert caplog.messages == [
        "cocostuff27: 3 pictures are listed, the published evaluation has 2,175; the table says how many were evaluated"
    ]
