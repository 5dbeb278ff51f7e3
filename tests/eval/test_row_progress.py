"""The progress of a row: which pictures remain, and what a new protocol takes from kept label maps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datasets.folder import FolderDataset
from diffseg.segmenters.kmeans_rgbxy import KMeansRGBXY
from eval.records import Record
from eval.row_progress import RowProgress
from eval.run import evaluate
from eval.runs import Run
from eval.shards import Shard
from tests.helpers.folder_rows import dataset_of, row_config, write_picture

IDS = ("a", "b", "c")


class Folder:
    """A results folder, and the ids of the pictures that were segmented in it."""

    def __init__(self, home: Path) -> None:
        self.home, self.segmented = home, []
        self.labels = home / "run" / "labels"
        for number, id in enumerate(IDS):
            write_picture(home / "data", id, classes=1 + number)

    def run(self, *report: str, labels: bool = True, again: bool = False, **protocol: Any) -> list[Record]:
        """Evaluates a row. Returns its records."""
        row = row_config(dataset_of(self.home / "data"), report=report or ("present",), **protocol)
        row.prepare()
        self.segmented.clear()
        with Run.open(self.home / "run", [row], list(report)) as run:
            progress = RowProgress(row, run, frozenset(IDS) if labels else frozenset(), again)
            evaluate([progress], "cpu", Shard())
            assert not any(progress.wants(id) or progress.compares(id) for id in IDS if id not in progress.failed)
            return run.records.of(row.key, IDS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    made, work = Folder(tmp_path), KMeansRGBXY.__call__

    def counted(self: KMeansRGBXY, scene: Any) -> Any:
        made.segmented.append(scene.id)
        return work(self, scene)

    monkeypatch.setattr(KMeansRGBXY, "__call__", counted)
    monkeypatch.setattr(FolderDataset, "truths", ("classes", "people"))  # boundaries are then allowed
    return made


@pytest.mark.parametrize("components", [False, True])
def test_a_new_protocol_needs_label_maps_and_no_segmenter(folder: Folder, components: bool) -> None:
    first = folder.run(components=components)
    assert folder.segmented == [*IDS]
    both = folder.run("present", "regions", "boundaries", components=components)
    assert folder.segmented == []
    assert [{*record.tables, *record.counts} for record in both] == [{"classes", "person 1", "boundaries"}] * 3
    assert [record.stored_tables["classes"] for record in both] == [each.stored_tables["classes"] for each in first]
    fresh = Folder(folder.home / "fresh").run("present", "regions", "boundaries", components=components)
    assert [(each.stored_tables, each.counts) for each in both] == [(each.stored_tables, each.counts) for each in fresh]


def test_a_missing_map_is_no_missing_result_and_a_new_protocol_segments_again(folder: Folder) -> None:
    folder.run(labels=False)
    folder.run()
    assert folder.segmented == []
    (b,) = (record for record in folder.run("regions") if record.picture == "b")
    assert folder.segmented == [*IDS]
    assert {*b.tables} == {"person 1"}


def test_typed_labels_all_makes_missing_maps_again_and_no_second_record(folder: Folder) -> None:
    before = folder.run()
    (lost,) = folder.labels.glob("*/b.png")
    content = lost.read_bytes()
    lost.unlink()
    after = folder.run(again=True)
    assert folder.segmented == ["b"]
    assert lost.read_bytes() == content
    assert [record.time for record in after] == [record.time for record in before]


def test_a_changed_picture_is_segmented_again_and_a_failed_one_is_tried_again(folder: Folder) -> None:
    (folder.home / "data" / "maps" / "b.png").write_bytes(b"damaged")
    assert [record.status for record in folder.run()] == ["ok", "failed", "ok"]
    write_picture(folder.home / "data", "b", classes=3)
    (folder.home / "data" / "images" / "c.png").write_bytes((folder.home / "data" / "images" / "a.png").read_bytes())
    assert [record.status for record in folder.run("regions")] == ["ok"] * 3
    assert folder.segmented == ["b", "c"]  # their old maps show other pictures


@pytest.mark.parametrize("damage", [b"", b"no picture"])
def test_a_damaged_map_fails_its_picture_and_the_next_command_segments_it(folder: Folder, damage: bytes) -> None:
    folder.run()
    (path,) = folder.labels.glob("*/b.png")
    path.write_bytes(damage)
    records = folder.run("regions")
    assert [record.status for record in records] == ["ok", "failed", "ok"]
    assert str(path) in records[1].reason
    assert folder.segmented == []
    assert [record.status for record in folder.run("regions")] == ["ok"] * 3
    assert folder.segmented == ["b"]


def test_boundaries_alone_count_segments_too(folder: Folder) -> None:
    alone = [record.segments for record in folder.run("boundaries")]
    assert alone == [record.segments for record in folder.run("present", "boundaries")]
    assert max(alone) == 2
    assert folder.segmented == []
