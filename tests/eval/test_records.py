"""Records: tables against brute force, and files that were torn, damaged, or written by others."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.records import MOST_CELLS, PackedTables, Record, RecordError, SparseTable
from eval.row import Row
from eval.storage.record_files import VERSION, Records, open_records

ROW = Row("key", "a row", {"segmenter": {"tau": 0.3}}, ["sky", "road"], code="c0de")
LARGE = 10**12
MANY = MOST_CELLS // 6
"""About the number above which tables of five classes have no column for each number."""


def record(picture: str = "a", time: float = 1.0, correct: int = 3) -> Record:
    """A record with a value in every field."""
    table = SparseTable.of(np.array([[correct, 0], [0, 2]]), [4, 9]).to_json()
    return Record(
        *("key", picture),
        stored_tables={"classes": table, "person 1": table},
        counts={"boundaries": [1, 2, 3, 4]},
        segments=2,
        underflow=0.25,
        device="cpu",
        dtype="float32",
        seconds={"attention": 1.5, "segment": 0.5},
        stamp="12 34",
        code="f00",
        unscored={"7": 5},
        time=time,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A results folder with the pictures a and b."""
    with open_records(tmp_path) as writer:
        writer.declare(ROW, "abc")
        writer.append(record("a"))
        writer.append(record("b"))
    return tmp_path


@given(
    numbers=st.lists(st.integers(-3, 6) | st.integers(MANY - 2, MANY + 2) | st.integers(LARGE, LARGE + 2), min_size=1),
    seed=st.integers(0, 99),
    classes=st.integers(1, 5),
)
@settings(deadline=None)
def test_a_table_counts_like_a_loop_over_the_pixels(numbers: list[int], seed: int, classes: int) -> None:
    segments = np.array(numbers)
    truth = np.random.default_rng(seed).integers(-1, classes + 1, len(segments))  # -1 and `classes` are void
    table = SparseTable.count(segments[None], truth[None], classes)
    listed = sorted({max(number, -1) for number in numbers})
    assert table.numbers.tolist() == listed
    own = [number for number in listed if number >= 0]
    expected = [[int(((truth == row) & (segments == number)).sum()) for number in own] for row in range(classes)]
    np.testing.assert_array_equal(table.dense(), np.array(expected).reshape(classes, len(own)))
    assert table.missed.tolist() == [int(((truth == row) & (segments < 0)).sum()) for row in range(classes)]
    assert table.segments == len(own)
    assert (table.pixels > 0).all()
    stored = json.loads(json.dumps(table.to_json()))
    packed = PackedTables()
    packed.append(stored)
    for again in (SparseTable.from_json(stored), packed[0]):
        for name in ("classes", "numbers", "rows", "columns", "pixels"):
            np.testing.assert_array_equal(getattr(again, name), getattr(table, name))


@given(seed=st.integers(0, 999), largest=st.integers(0, 9))
@settings(deadline=None)
def test_the_numbered_table_is_that_of_the_authors_code(seed: int, largest: int) -> None:
    random = np.random.default_rng(seed)
    segments, truth = random.integers(0, largest + 1, 40), random.integers(-1, 4, 40)
    expected = np.zeros((4, max(4, segments.max() + 1)), np.int64)
    np.add.at(expected, (truth[truth >= 0], segments[truth >= 0]), 1)
    np.testing.assert_array_equal(SparseTable.count(segments, truth, 4).numbered(), expected)


def test_narrow_dtypes_do_not_overflow() -> None:
    segments, truth = np.full(70_000, 200, np.uint8), np.full(70_000, 100, np.int8)
    table = SparseTable.count(segments, truth, 101)
    assert (table.numbers.tolist(), table.dense()[100].tolist()) == ([200], [70_000])
    assert SparseTable.count(segments, truth.view(np.uint8), 300).dense()[100].tolist() == [70_000]


def test_every_field_is_read_as_it_was_written(folder: Path) -> None:
    with open_records(folder) as writer:
        writer.append(Record("key", "c", "failed", "torn", stamp="s", code="f00", time=2.0))
    records = Records(folder)
    assert {key: row.to_json() for key, row in records.rows.items()} == {"key": ROW.to_json()}
    assert list(records.pictures.values()) == [("a", "b", "c")]
    first, _, failed = records.of("key", "abc")
    assert first.to_json() == record("a").to_json()
    assert {first.device, first.dtype, *first.seconds, *first.unscored} == {
        "cpu",
        "float32",
        "attention",
        "segment",
        "7",
    }
    assert (failed.status, failed.reason, failed.stamp, failed.time) == ("failed", "torn", "s", 2.0)
    assert first.tables["person 1"].dense().tolist() == [[3, 0], [0, 2]]
    assert [each.picture for each in records.of("key", "ba")] == ["b", "a"]


def test_a_file_has_the_lines_of_a_row_and_of_its_pictures_once(folder: Path) -> None:
    before = (folder / "records.jsonl").read_bytes()
    with open_records(folder) as writer:
        writer.declare(ROW, "abc")
    assert (folder / "records.jsonl").read_bytes() == before
    renamed = replace(ROW, name="renamed")
    for shard, lines in ((None, ["row", "pictures"]), ((1, 2), ["version", "row", "pictures"])):
        with open_records(folder, shard) as writer:
            writer.declare(renamed, "ab")
            added = writer.path.read_text().splitlines()[-len(lines) :]
        assert [next(iter(json.loads(line))) for line in added] == lines
    assert [row.to_json() for row in Records(folder).rows.values()] == [renamed.to_json()]


def test_a_picture_may_have_a_name_that_is_no_text(folder: Path) -> None:
    name = os.fsdecode(b"caf\xe9")  # Latin-1, which Python reads as half of a surrogate pair
    with open_records(folder) as writer:
        writer.append(record(name))
    assert [each.picture for each in Records(folder).of("key", ["a", name])] == ["a", name]


def test_of_several_records_the_newest_counts_whatever_the_order_of_the_files(folder: Path) -> None:
    (folder / "records.1-of-2.copy.jsonl").write_text("a copy is not read")
    for shard, time, correct in (((1, 2), 9.0, 5), ((2, 2), 4.0, 7)):
        with open_records(folder, shard) as writer:
            writer.declare(ROW, "abc")
            writer.append(record("a", time, correct))
    (newest,) = Records(folder).of("key", "a")
    assert newest.tables["classes"].dense()[0, 0] == 5


def test_an_incomplete_last_line_is_left_out_and_removed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = folder / "records.jsonl"
    whole = path.read_bytes()
    last = whole.rstrip().rfind(b"\n") + 1
    for torn in (whole[:-1], whole[: last + 20], whole[: last + 20] + b"\n"):
        path.write_bytes(torn)
        assert [each.picture for each in Records(folder).of("key", "ab")] == ["a"]
        assert path.read_bytes() == torn  # a reader does not write
        caplog.clear()
        with caplog.at_level(logging.WARNING), open_records(folder) as writer:
            writer.append(record("b"))
        assert f"{path}: removed an incomplete last line" in caplog.text
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "line", [b"{torn", b"3", b"{}", b'{"record": "key"}', b'{"record": "other", "picture": "a", "status": "ok"}']
)
def test_a_damaged_line_is_named_with_its_file(folder: Path, line: bytes) -> None:
    path = folder / "records.jsonl"
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, *others[:2], line + b"\n", *others[2:]]))
    with pytest.raises(RecordError, match=r"records\.jsonl: line 4 is damaged \(.+\); remove that line"):
        Records(folder)


@pytest.mark.parametrize("first", ['{"version": 1}', '{"type": "row"}', "[]"])
def test_records_of_another_version_are_refused_and_stay(tmp_path: Path, first: str) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(f'{first}\n{{"row": 1}}\n')
    before = path.read_bytes()
    with pytest.raises(RecordError, match="another version of this project"), open_records(tmp_path):
        pass
    assert path.read_bytes() == before
    assert json.loads(first) != {"version": VERSION}


def test_two_writers_of_one_file_are_refused_but_shards_have_their_own(folder: Path) -> None:
    with open_records(folder):
        with pytest.raises(RecordError, match=rf"another run \(process {os.getpid()}\)"), open_records(folder):
            pass
        with open_records(folder, (1, 2)) as first, open_records(folder, (2, 2)) as second:
            for writer, id in ((first, "c"), (second, "d")):
                writer.declare(ROW, "abcd")
                writer.append(record(id))
    assert [each.picture for each in Records(folder).of("key", "abcd")] == ["a", "b", "c", "d"]


def test_a_failed_write_leaves_earlier_records_and_the_next_one_follows(folder: Path) -> None:
    with open_records(folder) as writer:
        with pytest.raises(ValueError, match="JSON compliant"):
            writer.append(replace(record("c"), underflow=float("nan")))
        writer._file.write(b'{"record": "half a line')  # what a full disk leaves
        writer.append(record("c"))
    assert [each.picture for each in Records(folder).of("key", "abc")] == ["a", "b", "c"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint64, np.int16, np.int64])
def test_the_truth_of_a_table_is_any_integers(dtype: type) -> None:
    segments, truth = np.array([[4, 0, 0], [-1, 4, 0]]), np.array([[0, 1, 1], [0, 200, 0]], dtype=dtype)
    table = SparseTable.count(segments, truth, classes=200)
    assert table.numbers.tolist() == [-1, 0, 4]
    assert (table.dense()[:2].tolist(), table.missed[:2].tolist()) == ([[1, 1], [2, 0]], [1, 0])
