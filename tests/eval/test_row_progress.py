"""The progress of a row: which pictures remain, and what is recorded of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from eval.storage.records import Record, RecordFile

from diffseg.segmenters.base import Scene
from eval.decoding import decode
from eval.row_progress import FAILURES_SHOWN, Job, RowProgress, progress_of
from eval.rows import Row, prepare
from eval.storage.layout import label_path
from tests.helpers.folder_rows import KMEANS, SIDE, dataset_of, row_config, write_picture

IDS = ("a", "b", "c")


@dataclass(frozen=True)
class Truth:
    """A segmenter that returns the ground truth."""

    needs_attention: ClassVar[bool] = False
    common_labels: ClassVar[bool] = True

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Truth:
        return self

    def __call__(self, scene: Scene) -> torch.Tensor:
        assert scene.truth is not None
        return scene.truth.long()


@pytest.fixture
def row(tmp_path: Path) -> Row:
    for id in IDS:
        write_picture(tmp_path / "data", id)
    return prepare(row_config(dataset_of(tmp_path / "data")))


@pytest.fixture
def records(tmp_path: Path) -> Iterator[RecordFile]:
    with RecordFile(tmp_path / "run" / "records.jsonl") as opened:
        yield opened


def progress(row: Row, records: RecordFile, **job: object) -> RowProgress:
    (made,) = progress_of([Job([row], **job)], records, records.path.parent)  # type: ignore[arg-type]
    return made


def evaluate(row: RowProgress, id: str) -> None:
    picture = decode(row.row.config.dataset, id, SIDE, [SIDE])
    none = torch.empty(0, 0)
    label_map = row.row.segmenter(picture.scene(SIDE, none, None))
    row.evaluate(picture, label_map, none, None, {"attention": 1.5, "segment": 0.1})


def test_an_evaluated_picture_is_recorded_and_wanted_no_more(row: Row, records: RecordFile) -> None:
    new: list[Record] = []
    ours = progress(row, records, on_record=new.append)
    assert ours.score() == ""
    assert [ours.wants(id) for id in IDS] == [True] * 3
    evaluate(ours, "b")
    assert [ours.wants(id) for id in IDS] == [True, False, True]
    assert ours.score() == "a row ACC 100.0% mIoU 100.0%"
    (record,) = new
    assert records.records(row.key, IDS) == [record]
    assert {name: record[name] for name in ("image", "status", "segments", "device", "underflow")} == {
        **{"image": "b", "status": "ok", "segments": 2, "device": "cpu", "underflow": None}
    }
    assert sorted(record["table"]["pixels"]) == [SIDE * SIDE // 2] * 2
    assert record["seconds"]["attention"] == 1.5
    assert not ours.path("b").exists()


def test_a_label_map_that_must_be_kept_is_written_again_without_a_second_record(row: Row, records: RecordFile) -> None:
    evaluate(progress(row, records), "a")
    new: list[Record] = []
    ours = progress(row, records, panels=1, on_record=new.append)
    assert ours.path("a") == label_path(records.path.parent, row.key, "a")
    assert ours.wants("a")
    evaluate(ours, "a")
    assert ours.path("a").is_file()
    assert not ours.wants("a")
    assert new == []


def test_a_new_start_knows_the_valid_results(row: Row, records: RecordFile, tmp_path: Path) -> None:
    first = progress(row, records)
    evaluate(first, "a")
    evaluate(first, "b")
    write_picture(tmp_path / "data", "b", classes=3)
    again = progress(row, records)
    assert [again.wants(id) for id in IDS] == [False, True, True]  # the files of b have changed
    assert again.total.labelled == SIDE * SIDE


def test_a_failure_is_recorded_and_tried_only_by_the_next_run(row: Row, records: RecordFile) -> None:
    ours = progress(row, records)
    ours.fail("a", RuntimeError("no\nmemory"))
    assert [ours.wants(id) for id in IDS] == [False, True, True]
    (record,) = records.records(row.key, IDS)
    assert (record["status"], record["reason"]) == ("failed", "no memory")
    assert progress(row, records).wants("a")
    evaluate(ours, "b")
    ours.fail("b", RuntimeError("too late"))  # it has a result, and only its label map was missing
    assert [each["status"] for each in records.records(row.key, IDS)] == ["failed", "ok"]


def test_a_few_failures_are_printed(row: Row, records: RecordFile, caplog: pytest.LogCaptureFixture) -> None:
    ours = progress(row, records)
    for number in range(FAILURES_SHOWN + 3):
        ours.fail(str(number), RuntimeError("no memory"))
    assert [each.getMessage() for each in caplog.records] == [
        *(f"{number}, a row: failed: no memory" for number in range(FAILURES_SHOWN)),
        "a row: more pictures fail; per_image.csv will list their reasons",
    ]


def test_jobs_share_the_progress_of_a_row_on_the_same_pictures(row: Row, records: RecordFile, tmp_path: Path) -> None:
    same = prepare(row_config(dataset_of(tmp_path / "data")))
    fewer = prepare(row_config(dataset_of(tmp_path / "data", limit=1)))
    other = prepare(row_config(dataset_of(tmp_path / "data"), {**KMEANS, "clusters": 3}))
    first: list[Record] = []
    second: list[Record] = []
    jobs = [Job([row, other], on_record=first.append), Job([same, fewer], panels=2, on_record=second.append)]
    shared, *others = progress_of(jobs, records, records.path.parent)
    assert [each.row for each in (shared, *others)] == [row, other, fewer]
    assert shared.kept == {"a", "b"}
    evaluate(shared, "a")
    assert first == second
    assert len(first) == 1


def test_a_set_that_is_matched_once_has_no_score_before_its_end(tmp_path: Path, records: RecordFile) -> None:
    write_picture(tmp_path / "data", "a")
    truth = {"_target_": f"{__name__}.Truth"}
    ours = progress(prepare(row_config(dataset_of(tmp_path / "data"), truth, report=("dataset",))), records)
    evaluate(ours, "a")
    assert ours.score() == ""
    assert len(records.records(ours.key, IDS)) == 1
