"""Opening a run: its files, its tracking, and the rows that jobs share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from eval.results.run_config import read_config
from eval.storage.records import RecordError, RecordFile
from experiments.running.opening import open_run

from eval.rows import prepare
from eval.storage.provenance import read_provenance
from eval.tracking.base import NoTracking, RunFacts
from tests.helpers.folder_rows import KMEANS, dataset_of, row_config, write_picture
from tests.helpers.open_runs import plan_of


@dataclass(frozen=True)
class Noting:
    """A tracker that notes what it is told."""

    opened: ClassVar[list[RunFacts]] = []
    closed: ClassVar[list[bool]] = []

    def open(self, run: RunFacts) -> Any:
        self.opened.append(run)
        tracking = NoTracking()
        tracking.close = self.closed.append  # type: ignore[method-assign]
        return tracking


@pytest.fixture
def noted() -> type[Noting]:
    Noting.opened.clear()
    Noting.closed.clear()
    return Noting


@pytest.fixture
def rows(tmp_path: Path) -> list[Any]:
    """Three rows with 2, 3 and 4 clusters."""
    write_picture(tmp_path / "data", "a")
    dataset = dataset_of(tmp_path / "data")
    return [prepare(row_config(dataset, {**KMEANS, "clusters": number})) for number in (2, 3, 4)]


TRACKER = {"_target_": f"{__name__}.Noting"}


def test_a_run_has_its_configuration_provenance_and_records(tmp_path: Path, rows: list[Any]) -> None:
    plan = plan_of(tmp_path / "run", rows[0].config, overrides=("a=1",))
    with open_run(tmp_path / "run", [plan], [rows[:1]]) as run:
        assert run.rows == rows[:1]
        assert not run.code_changed
        assert run.results(run.jobs[0]).rows[0].records == []
        assert list(run.records.rows) == [rows[0].key]
        with pytest.raises(RecordError, match="another run"), RecordFile(tmp_path / "run" / "records.jsonl"):
            pass
    config, (row,) = read_config(tmp_path / "run")
    assert (config.overrides, row.key) == (["a=1"], rows[0].key)
    assert len(read_provenance(tmp_path / "run")) == 1
    assert not (tmp_path / "run" / "sweep.csv").exists()


def test_each_job_knows_which_rows_earlier_jobs_have(tmp_path: Path, rows: list[Any], noted: type[Noting]) -> None:
    first, second, third = rows
    of_jobs = [[first, second], [first, third]]
    plans = [
        plan_of(tmp_path / str(job), *(row.config for row in each), sweep=tmp_path, together=True, tracker=TRACKER)
        for job, each in enumerate(of_jobs)
    ]
    with open_run(tmp_path, plans, of_jobs) as run:
        assert run.rows == [first, second, first, third]
        assert (tmp_path / "sweep.csv").read_text().split() == ["job", "0", "1"]
    assert [facts.shared for facts in noted.opened] == [{first.key: False}, {first.key: True}]
    assert [facts.folder.name for facts in noted.opened] == ["0", "1"]
    assert noted.closed == [False, False]
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 3  # a row is declared once


def test_tracking_is_told_of_an_error(tmp_path: Path, rows: list[Any], noted: type[Noting]) -> None:
    plan = plan_of(tmp_path, rows[0].config, tracker=TRACKER)
    with pytest.raises(KeyError), open_run(tmp_path, [plan], [rows[:1]]):
        raise KeyError
    assert noted.closed == [True]


def test_trackers_get_the_records_so_far(tmp_path: Path, rows: list[Any]) -> None:
    sent: list[Any] = []
    with open_run(tmp_path, [plan_of(tmp_path, rows[0].config)], [rows[:1]]) as run:
        record = {"type": "image", "key": rows[0].key, "image": "a", "status": "failed", "reason": "x"}
        run.records.append(record)
        run.jobs[0].tracking.record = sent.append  # type: ignore[method-assign]
        run.send_records()
    assert sent == [record]


def test_a_file_of_the_user_is_not_replaced(tmp_path: Path, rows: list[Any]) -> None:
    (tmp_path / "summary.csv").write_text("mine\n")
    with (
        pytest.raises(RecordError, match=r"summary\.csv: no run of this version wrote this file"),
        open_run(tmp_path, [plan_of(tmp_path, rows[0].config)], [rows[:1]]),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()].count("records.jsonl") == 0
