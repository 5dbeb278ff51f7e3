"""Processes that share a run: how they find each other, and that their results are those of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval.config import ConfigError
from eval.shards import Shard, join_shards
from eval.storage.record_files import open_records
from tests.conftest import ROOT
from tests.helpers.coco_folder import write_spoilt_folder
from tests.helpers.forks import end_all, log, start, start_all
from tests.helpers.runs import SMALL, without_timings

PICTURES = [f"{number:012}" for number in range(1, 8)]
SPOILT = PICTURES[4]
ROWS = (
    "{name: 'K-Means', overrides: ['segmenter=kmeans_c']}",
    "{name: 'DiffSeg', overrides: ['segmenter=diffseg']}",
)
# torchrun gives each process one thread; with more threads, sums would be rounded differently.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory, dinov2: Path) -> tuple[str, ...]:
    """Overrides for a run over seven pictures, one of which cannot be decoded."""
    data = write_spoilt_folder(tmp_path_factory.mktemp("coco"), PICTURES, SPOILT)
    return (*data, f"rows=[{','.join(ROWS)}]", "panels=2", *SMALL)


@pytest.fixture(scope="module")
def alone(overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    process = start(folder, *overrides)
    process.join()
    assert process.exitcode == 1, log(folder).read_text()  # one picture failed
    return folder


def tables(folder: Path) -> dict[str, object]:
    """All files but the records, which each process keeps in a file of its own, and the list of loaded packages."""
    own = ("records", "provenance")
    return {name: content for name, content in without_timings(folder).items() if not name.startswith(own)}


@pytest.mark.long
@pytest.mark.parametrize("count", [*(pytest.param(count, marks=pytest.mark.slow) for count in (1, 2)), 3])
def test_files_of_torchrun_are_those_of_one_process(
    count: int, alone: Path, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [*torchrun, "-m", "experiments.evaluate", f"results_dir={tmp_path / 'run'}", *overrides]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=ONE_THREAD)
    assert done.returncode == 1, done.stderr
    assert tables(tmp_path / "run") == tables(alone)
    assert done.stdout.count("| DiffSeg ") == 3  # a table for each protocol and one without classes, printed once
    assert done.stderr.count("2 evaluations failed") == 1
    assert ("share 1 of" in done.stderr) == (count > 1)
    assert "share 2 of" not in done.stderr


def test_a_second_shared_run_in_a_folder_is_refused(overrides: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with open_records(folder, (1, 2)):
        processes = start_all(folder, 2, *overrides)
        end_all(processes)  # torchrun would end the second one when the first has failed
        assert processes[0].exitcode == 2
        expected = f"error: {folder}/records.1-of-2.jsonl: another run (process {os.getpid()}) is writing there"
        assert log(folder).read_text().count("error: ") == log(folder).read_text().count(expected) == 1
        assert "error: " not in log(folder, "1").read_text()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2"}, "missing or not numbers: RANK, LOCAL_RANK, MASTER_PORT"),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_PORT": "29500"},
            "missing or not numbers: MASTER_ADDR",
        ),
        ({"WORLD_SIZE": "many"}, "missing or not numbers: WORLD_SIZE, RANK"),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "99999"},
            r"^the 2 processes cannot meet at 127.0.0.1:99999 \(port must",
        ),
    ],
)
def test_wrong_variables_of_torchrun_are_named(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        join_shards()


def test_a_named_share_counts_from_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    shares = [join_shards(f"{number}/3") for number in (1, 2, 3)]
    assert [share.share("abcdefg") for share in shares] == ["adg", "be", "cf"]
    assert [(share.number, share.leads) for share in shares] == [((1, 3), True), ((2, 3), True), ((3, 3), True)]
    assert (join_shards().number, join_shards("1/1").number) == (None, (1, 1))
    for wrong in ("0/3", "4/3", "2", "a/b", "1/3/2", "-1/3"):
        with pytest.raises(ConfigError, match=rf"^shard: must be i/n .*, got {wrong}$"):
            join_shards(wrong)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="torchrun divides the pictures itself"):
        join_shards("1/2")


@pytest.mark.parametrize(
    ("name", "gpus", "rank", "device", "warned"),
    [
        ("auto", 4, 3, "cuda:3", False),
        ("cuda", 4, 3, "cuda:3", False),
        ("auto", 2, 3, "cuda:1", False),
        ("auto", 2, 0, "cuda:0", True),
        ("cuda:1", 2, 0, "cuda:1", False),
        ("cpu", 2, 0, "cpu", False),
    ],
)
def test_more_processes_than_gpus_share_them_and_cause_one_warning(
    *, name: str, gpus: int, rank: int, device: str, warned: bool,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Needs no GPU: only their number is read."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert Shard(rank, 4).device(name) == device
    assert ("started 4 processes on this machine, which has 2 GPUs" in caplog.text) == warned
