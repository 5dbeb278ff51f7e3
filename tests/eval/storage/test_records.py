"""Records: resuming, torn and damaged files, two writers, writers that are killed, a disk that is full."""

from __future__ import annotations

import json
import logging
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eval.settings import differences, row_key
from eval.storage.records import RecordError, RecordFile
from tests.conftest import ROOT
from tests.helpers.record_lines import KEY, SETTINGS, ok


def done(records: RecordFile, key: str) -> set[str]:
    """Ids of the pictures that were evaluated for a row."""
    return {each["image"] for each in records.records(key, records.images(key)) if each["status"] == "ok"}


def failed(image: str) -> dict[str, object]:
    return {"type": "image", "key": KEY, "image": image, "status": "failed", "reason": "no proposal is left"}


def start(path: Path, code: str) -> subprocess.Popen[str]:
    """Starts a Python process that opens the records of ``path`` as ``records`` and runs ``code``."""
    script = f"""
import os, signal, sys
from eval.storage.records import RecordFile
from tests.helpers.record_lines import SETTINGS, ok
with RecordFile({str(path)!r}) as records:
    records.declare(SETTINGS)
{code}
"""
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one row and the images a and b."""
    path = tmp_path / "results" / "records.jsonl"
    with RecordFile(path) as records:
        records.declare(SETTINGS)
        records.append(ok("a"))
        records.append(ok("b"))
    return path


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


def test_the_error_for_a_second_process_names_the_first(path: Path) -> None:
    writer = start(path, "    print('open', flush=True)\n    sys.stdin.readline()")
    assert writer.stdout is not None
    try:
        assert writer.stdout.readline() == "open\n"
        message = rf"records\.jsonl: another run \(process {writer.pid}\) is writing there"
        with pytest.raises(RecordError, match=message), RecordFile(path):
            pass
    finally:
        writer.communicate("end\n", timeout=120)
    with RecordFile(path) as records:
        assert done(records, KEY) == {"a", "b"}


@pytest.mark.parametrize(
    ("kill", "survives"),
    [
        # After the first 20 bytes of the line.
        (
            "    write = records._file.write\n"
            "    class Half:\n"
            "        def write(self, line): write(line[:20]); os.kill(os.getpid(), signal.SIGKILL)\n"
            "        def truncate(self, size): pass\n"
            "    records._file = Half()\n",
            {"a", "b"},
        ),
        # After the line, before fsync: the system still has the line.
        ("    os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n", {"a", "b", "c"}),
    ],
    ids=["half a line", "before fsync"],
)
def test_a_killed_writer_loses_at_most_its_last_record(path: Path, kill: str, survives: set[str]) -> None:
    before = path.stat().st_size
    writer = start(path, f"{kill}    records.append(ok('c'))")
    _, errors = writer.communicate(timeout=120)
    assert writer.returncode == -signal.SIGKILL, errors
    assert path.stat().st_size > before
    with RecordFile(path) as records:
        assert done(records, KEY) == survives
        records.append(ok("d"))
    with RecordFile(path) as records:
        assert done(records, KEY) == survives | {"d"}


def test_every_record_reported_as_written_survives_a_kill(path: Path) -> None:
    writer = start(
        path,
        "    for number in range(10**9):\n"
        "        records.append({**ok(f'image {number}'), 'filler': 'x' * 5000})\n"
        "        print(number, flush=True)",
    )
    assert writer.stdout is not None
    for number in range(20):
        assert writer.stdout.readline() == f"{number}\n"
    writer.kill()
    reported = 20 + writer.stdout.read().count("\n")
    writer.communicate(timeout=120)
    with RecordFile(path) as records:
        assert done(records, KEY) >= {f"image {number}" for number in range(reported)}


def test_a_full_disk_raises_and_what_it_left_is_removed(path: Path) -> None:
    whole = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with RecordFile(path) as records:
        # The file may grow by 10 bytes: the first write is cut short, the next one fails.
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                records.append(ok("c"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(path.read_bytes()) == len(whole) + 10
        assert done(records, KEY) == {"a", "b"}
        records.append(ok("d"))
        assert path.read_bytes() == whole + json.dumps(ok("d")).encode() + b"\n"
    with RecordFile(path) as records:
        assert done(records, KEY) == {"a", "b", "d"}


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


def test_the_key_covers_values_and_not_their_spelling() -> None:
    same = {"segmenter": {"layers": [8, 9], "tau": 1, "name": "diffseg"}, "experiment": "table1"}
    assert row_key(same) == KEY
    assert row_key(json.loads(json.dumps(SETTINGS))) == KEY
    assert row_key({"weights": {32: 1, 8: 0.5}}) == row_key({"weights": {"8": 0.5, "32": 1.0}})
    assert len(KEY) == 16
    assert int(KEY, 16) >= 0
    others = [{"tau": 1.1}, {"tau": None}, {"tau": True}, {"tau": "1"}, {"layers": [9, 8]}, {"seed": 0}]
    changed = [{**SETTINGS, "segmenter": {**SETTINGS["segmenter"], **other}} for other in others]  # type: ignore[dict-item]
    assert len({KEY, *map(row_key, changed)}) == 1 + len(others)
    with pytest.raises(ValueError, match="JSON compliant"):
        row_key({"tau": float("inf")})


def test_differences_name_what_changed() -> None:
    old = {"segmenter": {"name": "diffseg", "tau": 0.3, "grid": {}}, "sides": (32, 16), "size": 448.0}
    new = {"segmenter": {"name": "diffseg", "tau": 0.4, "rule": "paper"}, "sides": [32], "size": 448}
    assert differences(old, new) == [
        "segmenter.grid: {} -> (not set)",
        "segmenter.rule: (not set) -> paper",
        "segmenter.tau: 0.3 -> 0.4",
        "sides: [32, 16] -> [32]",
    ]
    assert differences(new, new) == []


IMAGES = [f"image {number}" for number in range(7)]
ORDER = [(KEY, image) for image in IMAGES]


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """The file that one process writes."""
    with RecordFile(tmp_path / "whole.jsonl") as records:
        records.declare(SETTINGS)
        for image in IMAGES:
            records.append(ok(image))
        records.gather(ORDER)
    return (tmp_path / "whole.jsonl").read_bytes()


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
