"""Several processes share the records: gathering their files gives the file of one process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eval.storage.records import RecordError, RecordFile

from tests.helpers.record_lines import KEY, SETTINGS, done, ok

IMAGES = [f"image {number}" for number in range(7)]
ORDER = [(KEY, image) for image in IMAGES]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file that one process writes."""
    path = tmp_path_factory.mktemp("one_process") / "records.jsonl"
    with RecordFile(path) as records:
        records.declare(SETTINGS)
        for image in IMAGES:
            records.append(ok(image))
        records.gather(ORDER)
    return path.read_bytes()


def write_shards(path: Path, count: int, images: list[str] = IMAGES) -> None:
    with RecordFile(path) as main:
        main.declare(SETTINGS)
        for shard in range(1, count):
            with RecordFile(path, shard) as records:
                records.declare(SETTINGS)
                for image in images[shard::count]:
                    records.append(ok(image))
        for image in images[::count]:
            main.append(ok(image))


@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_gathered_shards_are_the_file_of_one_process(tmp_path: Path, whole: bytes, count: int) -> None:
    path = tmp_path / "results" / "records.jsonl"
    write_shards(path, count)
    with RecordFile(path) as records:  # as a later run does, of any number of processes
        assert done(records, KEY) == set(IMAGES)
        records.gather(ORDER)
        records.append(ok("one more"))
    assert path.read_bytes() == whole + json.dumps(ok("one more")).encode() + b"\n"
    assert sorted(each.name for each in path.parent.iterdir()) == [".records.jsonl.lock", "records.jsonl"]


@pytest.mark.parametrize("torn", [b"", b'{"type": "ima'], ids=["whole", "torn"])
@pytest.mark.parametrize("step", ["before the file is replaced", "before a shard is removed"])
def test_a_kill_while_gathering_loses_and_doubles_no_record(
    tmp_path: Path, whole: bytes, step: str, torn: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results" / "records.jsonl"
    write_shards(path, 3)
    shard = path.with_name("records.1.jsonl")
    shard.write_bytes(shard.read_bytes() + torn)
    with monkeypatch.context() as patch:
        if step == "before the file is replaced":
            patch.setattr(Path, "replace", lambda *_: 1 / 0)
        else:
            patch.setattr(Path, "unlink", lambda each, missing_ok=False: missing_ok or 1 / 0)
        with pytest.raises(ZeroDivisionError), RecordFile(path):
            pass
    assert shard.exists()
    with RecordFile(path) as records:
        assert done(records, KEY) == set(IMAGES)
        records.gather(ORDER)
    assert path.read_bytes() == whole


def test_an_order_moves_no_other_record(path: Path) -> None:
    with RecordFile(path) as records:
        other = records.declare({**SETTINGS, "segmenter": {"name": "kmeans"}})
        for image in ("z", "y"):
            records.append(ok(image, key=other))
        for image in ("d", "c"):
            records.append(ok(image))
        before = path.read_text().splitlines()
        records.gather([(KEY, image) for image in "abcd"])
    lines = path.read_text().splitlines()
    assert lines == [before[0], *before[3:6], *before[1:3], before[7], before[6]]


def test_the_line_of_a_row_stays_before_its_images(path: Path) -> None:
    """Images outside the given order come first, but after the line of their row."""
    with RecordFile(path) as records:
        records.gather([(KEY, ""), (KEY, "b")])
    assert [json.loads(line).get("image") for line in path.read_text().splitlines()] == [None, "a", "b"]


def test_a_shard_that_does_not_see_the_folder_of_the_first_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="a folder that all machines share"), RecordFile(tmp_path / "r.jsonl", 1):
        pass


@pytest.mark.parametrize(
    "name", ["records.old.jsonl", "records.2026-11-26.jsonl", "records..jsonl", "myrecords.1.jsonl"]
)
def test_a_users_copy_is_neither_read_nor_removed(path: Path, name: str) -> None:
    copy = path.with_name(name)
    copy.write_text(json.dumps({"type": "row", "key": KEY, "settings": SETTINGS}) + "\n" + json.dumps(ok("z")) + "\n")
    before = copy.read_bytes()
    with RecordFile(path) as records:
        assert done(records, KEY) == {"a", "b"}
        records.gather()
    assert copy.read_bytes() == before
