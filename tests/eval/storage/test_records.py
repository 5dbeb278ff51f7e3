"""Records: resuming, and torn, damaged and older files."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from eval.storage.records import RecordError, RecordFile

from tests.helpers.record_lines import KEY, SETTINGS, done, failed, ok


def test_a_run_resumes_where_it_stopped(path: Path) -> None:
    with RecordFile(path) as records:
        assert records.declare(SETTINGS) == KEY
        assert done(records, KEY) == {"a", "b"}
        records.append(failed("c"))
        assert done(records, KEY) == {"a", "b"}
    with RecordFile(path) as records:
        assert done(records, KEY) == {"a", "b"}
        assert [record["status"] for record in records.records(KEY, ["c", "a"])] == ["failed", "ok"]
        records.append(ok("c"))
        records.append(ok("a", segments=7))
    with RecordFile(path) as records:
        assert done(records, KEY) == {"a", "b", "c"}
        assert [record["image"] for record in records.records(KEY, ["d", "c", "b", "a"])] == ["c", "b", "a"]
        assert records.records(KEY, ["a"]) == [ok("a", segments=7)]
        assert done(records, "unknown") == set()
        assert records.records("unknown", ["a"]) == []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["type"] for line in lines] == ["row"] + ["image"] * 5
    assert lines[0]["key"] == KEY


def test_records_of_different_rows_do_not_mix(path: Path) -> None:
    other = {**SETTINGS, "segmenter": {"name": "kmeans"}}
    with RecordFile(path) as records:
        key = records.declare(other)
        records.append(ok("c", key=key))
        assert done(records, key) == {"c"}
        assert done(records, KEY) == {"a", "b"}
        assert records.other_settings([KEY]) == [other]
        assert records.other_settings([KEY, key]) == []


@pytest.mark.parametrize(
    "torn",
    [b'{"type": "ima', json.dumps(ok("c")).encode(), b"\0\0\0\0", b'{"type": "ima\n', b"\xff\xfe\n"],
    ids=["half", "no newline", "zeros", "half with newline", "not UTF-8"],
)
def test_a_torn_last_line_is_removed(path: Path, torn: bytes, caplog: pytest.LogCaptureFixture) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    with caplog.at_level(logging.WARNING), RecordFile(path) as records:
        assert done(records, KEY) == {"a", "b"}
        assert path.read_bytes() == whole
        assert [record.getMessage() for record in caplog.records] == [
            f"{path}: removed an incomplete last line that an interrupted run left"
        ]
        records.append(ok("c"))
    with RecordFile(path) as records:
        assert done(records, KEY) == {"a", "b", "c"}


def test_a_whole_file_is_left_as_it_is(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = path.read_bytes()
    with RecordFile(path) as records:
        records.declare(SETTINGS)
    assert path.read_bytes() == whole
    assert not caplog.records


@pytest.mark.parametrize(
    ("line", "damage"),
    [
        (1, "{"),
        (1, '"type"'),
        (0, json.dumps(ok("a"))),
        (2, json.dumps({**ok("a"), "status": "done"})),
        (2, json.dumps({"type": "image", "key": KEY})),
    ],
    ids=["no JSON", "no object", "image before its row", "unknown status", "field missing"],
)
def test_a_damaged_line_is_named_and_nothing_is_touched(path: Path, line: int, damage: str) -> None:
    lines = path.read_text().splitlines()
    lines[line] = damage
    damaged = "\n".join(lines) + "\n"
    path.write_text(damaged)
    message = rf"records\.jsonl: line {line + 1} is damaged \(.+\); remove that line"
    with pytest.raises(RecordError, match=message), RecordFile(path):
        pass
    assert path.read_text() == damaged
    # The lock of the failed opening is gone: the error is the same, not "another run".
    with pytest.raises(RecordError, match=message), RecordFile(path):
        pass


@pytest.mark.parametrize(
    "record",
    [{**ok("c"), "key": "unknown"}, {**ok("c"), "seconds": float("nan")}, {"image": "c"}],
    ids=["no row", "NaN", "no record"],
)
def test_a_wrong_record_is_refused_before_it_is_written(path: Path, record: dict[str, object]) -> None:
    whole = path.read_bytes()
    with RecordFile(path) as records, pytest.raises(ValueError, match=r"row|JSON|not a record"):
        records.append(record)
    assert path.read_bytes() == whole


def test_an_older_version_is_named_and_left_alone(path: Path) -> None:
    path.write_text('{"type": "variant", "key": "k", "settings": {}}\n')
    with pytest.raises(RecordError, match=r"records\.jsonl: written by an older version"), RecordFile(path):
        pass
    assert path.read_text() == '{"type": "variant", "key": "k", "settings": {}}\n'


def test_records_are_read_without_a_lock(path: Path) -> None:
    with RecordFile(path):
        assert done(RecordFile.read(path), KEY) == {"a", "b"}


def test_a_known_record_is_not_written_again(path: Path) -> None:
    with RecordFile(path) as records:
        records.append(failed("c"))
        before = path.read_bytes()
        records.append(failed("c"))
        records.append(ok("a"))
        records.declare(SETTINGS)
        assert path.read_bytes() == before
        records.append(ok("c"))
        records.append(failed("c"))  # written, because it is not the newest any more
    assert path.read_bytes().count(b'"failed"') == 2
