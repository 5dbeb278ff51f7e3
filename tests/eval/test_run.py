"""The run loop writes records in order. test_batches, test_failures and test_shards test the rest of it."""

from __future__ import annotations

from pathlib import Path

from eval.storage.records import RecordFile

from diffseg.backbones.none import NoBackbone
from eval.row_progress import Job
from eval.rows import Row, prepare
from eval.run import grouped, record_order, run
from eval.shards import Shard
from tests.helpers.folder_rows import KMEANS, SIDE, dataset_of, row_config, write_picture


def test_items_are_grouped_in_their_order() -> None:
    assert grouped([3, 1, 5, 2, 7], lambda each: [each % 2]) == [[3, 1, 5, 7], [2]]  # a list has no hash
    assert grouped([], str) == []


def rows_of(folder: Path) -> list[Row]:
    """Two rows with one encoder, and between them one with another."""
    for id in "ab":
        write_picture(folder, id)
    dataset = dataset_of(folder)
    small, large = NoBackbone(size=SIDE), NoBackbone(size=2 * SIDE)
    more = {**KMEANS, "clusters": 3}
    return [prepare(row_config(dataset, *each)) for each in ((KMEANS, small), (KMEANS, large), (more, small))]


def test_records_are_written_pass_by_pass_in_the_announced_order(tmp_path: Path) -> None:
    first, second, third = rows = rows_of(tmp_path / "data")
    with RecordFile(tmp_path / "records.jsonl") as records:
        run([Job(rows)], records, tmp_path, "cpu", Shard())
        written = [(each["key"], each["image"]) for each in records._lines if each["type"] == "image"]
    order = [
        (first.key, "a"),
        (third.key, "a"),
        (first.key, "b"),
        (third.key, "b"),
        (second.key, "a"),
        (second.key, "b"),
    ]
    assert written == record_order(rows) == order


def test_a_process_evaluates_only_its_share(tmp_path: Path) -> None:
    row, *_ = rows_of(tmp_path / "data")
    with RecordFile(tmp_path / "records.jsonl") as records:
        run([Job([row])], records, tmp_path, "cpu", Shard(0, 2))
        assert len(records.images(row.key)) == 1
