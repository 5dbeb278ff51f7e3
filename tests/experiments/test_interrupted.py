"""Killed runs, full disks, shares of the pictures: the same command, or the other shares, give the files of one run."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eval.runs import read_run
from tests.helpers.folder_rows import folder_overrides
from tests.helpers.forks import log, start
from tests.helpers.runs import command, evaluate, without_timings

PICTURES = [f"p{number}" for number in range(6)]
HISTORY = ("config.yaml", "provenance.json")
"""Files that tell how often a command was started."""


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A sweep over six pictures, one of which cannot be decoded."""
    data = tmp_path_factory.mktemp("data")
    settings = (*folder_overrides(data, PICTURES, classes=3), "segmenter=kmeans_rgbxy", "segmenter.clusters=2,3,4")
    for id in PICTURES:
        noise = np.random.default_rng(len(id)).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).save(data / "images" / f"{id}.png")
    broken = data / "images" / f"{PICTURES[2]}.png"
    broken.write_bytes(broken.read_bytes()[:60])
    return ("-m", *settings, "panels=3", "allow_failures=true")


@pytest.fixture(scope="module")
def undisturbed(overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    complete(folder, *overrides)
    return folder


def complete(folder: Path, *overrides: str) -> None:
    """Runs to the end without disturbance."""
    process = start(folder, *overrides)
    process.join()
    assert process.exitcode == 0, log(folder).read_text()


def files_of(folder: Path) -> dict[str, Any]:
    """The result files without times; of the records, what each picture and row has at last."""
    files = {
        name: content
        for name, content in without_timings(folder).items()
        if name not in HISTORY and not name.endswith(".jsonl")
    }
    records = [record.to_json() for row in read_run(folder).rows for record in row.records]
    files["records"] = [{**record, "seconds": None, "time": None} for record in records]
    return files


def steps(folder: Path) -> int:
    """Progress of a run: the number of its records and files."""
    records = folder / "records.jsonl"
    lines = records.read_bytes().count(b'"record"') if records.exists() else 0
    return lines + sum(path.is_file() for path in folder.rglob("*.*"))


def test_a_killed_run_is_completed_by_the_same_command(
    undisturbed: Path, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    generator = random.Random(3)
    last = steps(undisturbed)
    killed_at = []
    folder = tmp_path / "run"
    for _ in range(4):
        process = start(folder, *overrides)
        until = generator.randint(min(steps(folder) + 1, last), last)
        while process.is_alive() and steps(folder) < until:
            time.sleep(0.001)
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            killed_at.append(steps(folder))
    assert killed_at
    with (folder / "records.jsonl").open("ab") as file:  # a kill in the middle of a line
        file.write(b'{"record": "torn')
    complete(folder, *overrides)
    assert files_of(folder) == files_of(undisturbed)


def test_a_file_that_cannot_grow_is_one_line_and_the_run_is_completed_later(
    undisturbed: Path, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    """The system refuses to write beyond a size, as it does on a full disk."""
    folder = tmp_path / "run"
    process = start(folder, *overrides, largest=(undisturbed / "records.jsonl").stat().st_size * 2 // 3)
    process.join()
    errors = [line for line in log(folder).read_text().splitlines() if line.startswith("error: ")]
    assert process.exitcode == 2, log(folder).read_text()
    (line,) = errors
    assert "cannot be written" in line
    assert f"{folder}/" in line
    assert not list(folder.rglob(".*.tmp"))
    complete(folder, *overrides)
    assert files_of(folder) == files_of(undisturbed)


def test_shares_of_the_pictures_give_the_tables_of_one_run(
    undisturbed: Path, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    swept, *settings = overrides
    for share in ("2/3", "1/3", "3/3"):
        done = evaluate(folder, swept, *settings, f"shard={share}")
        assert done.status == 0, done.err
        images = set(done.table()["images"] + done.table()["failed"])
        assert images == {2 * len(list(folder.glob("records.*-of-3.jsonl")))}
    assert command("--tables", str(folder)).status == 0
    (listed,) = read_run(folder).commands
    assert not [argument for argument in listed.arguments if argument.startswith(("shard", "results_dir"))]
    shares, whole = files_of(folder), files_of(undisturbed)
    for name in shares.keys() | whole.keys():
        if not name.startswith("panels/"):
            assert shares.get(name) == whole.get(name), name
    wrong = evaluate(folder, swept, *settings, "shard=4/3")
    assert wrong.status == 2
    assert wrong.err.startswith("error: shard: ")
