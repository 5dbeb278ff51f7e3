"""Runs shared by several processes give the same files for any number of processes, also after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

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

pytestmark = pytest.mark.usefixtures("dinov2")


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
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


@pytest.mark.long
@pytest.mark.parametrize("count", [*(pytest.param(count, marks=pytest.mark.slow) for count in (1, 2)), 3])
def test_files_of_torchrun_are_those_of_one_process(
    count: int, alone: Path, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    """The order of the records is the same, too."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [*torchrun, "-m", "experiments.evaluate", f"results_dir={tmp_path / 'run'}", *overrides]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=ONE_THREAD)
    assert done.returncode == 1, done.stderr
    assert without_timings(tmp_path / "run") == without_timings(alone)
    assert done.stdout.count("| DiffSeg ") == 3  # a table for each protocol and one without classes, printed once
    assert done.stderr.count("2 evaluations failed") == 1
    assert ("share 1 of" in done.stderr) == (count > 1)
    assert "share 2 of" not in done.stderr


@pytest.mark.long
@pytest.mark.parametrize("count", [2, *(pytest.param(count, marks=pytest.mark.slow) for count in (1, 4))])
def test_a_killed_run_is_continued_by_any_number_of_processes(
    count: int, alone: Path, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    processes = start_all(folder, 3, *overrides)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not all(
        path.exists() and path.read_bytes().count(b'"image":') for path in shard_files(folder, 3)
    ):
        time.sleep(0.001)
    for process in processes:
        process.kill()
    end_all(processes)
    lines = sum(path.read_bytes().count(b'"image":') for path in shard_files(folder, 3))
    assert 3 <= lines < 2 * len(PICTURES)
    assert end_all(start_all(folder, count, *overrides)) == [1] * count, log(folder).read_text()
    assert without_timings(folder) == without_timings(alone)
    assert sorted(path.name for path in folder.glob("*records*")) == [".records.jsonl.lock", "records.jsonl"]


def shard_files(folder: Path, count: int) -> list[Path]:
    return [folder / "records.jsonl", *(folder / f"records.{rank}.jsonl" for rank in range(1, count))]


def test_a_process_that_outlives_the_others_is_named(overrides: tuple[str, ...], tmp_path: Path) -> None:
    """Its first process was killed. A new run must not take the records that it still writes."""
    from eval.storage.records import RecordFile

    folder = tmp_path / "run"
    with RecordFile(folder / "records.jsonl"):
        pass
    with RecordFile(folder / "records.jsonl", shard=1):
        process = start(folder, *overrides)
        process.join()
        assert process.exitcode == 2
        expected = f"error: {folder}/records.1.jsonl: another run (process {os.getpid()}) is writing there"
        assert expected in log(folder).read_text()


def test_a_second_shared_run_in_a_folder_is_refused(overrides: tuple[str, ...], tmp_path: Path) -> None:
    from eval.storage.records import RecordFile

    folder = tmp_path / "run"
    with RecordFile(folder / "records.jsonl"):
        processes = start_all(folder, 2, *overrides)
        end_all(processes)  # torchrun would end the second one when the first has failed
        assert processes[0].exitcode == 2
        assert log(folder).read_text().count("error: ") == 1
        assert "another run" in log(folder).read_text()
        assert "error: " not in log(folder, "1").read_text()


@pytest.mark.long
@pytest.mark.skipif(
    find_spec("submitit") is None,
    reason="not installed: pip install hydra-submitit-launcher",
)
def test_jobs_of_submitit_have_the_results_of_plain_runs(overrides: tuple[str, ...], tmp_path: Path) -> None:
    """The launcher for SLURM, with its local executor."""
    common = (*overrides, "dataset.limit=5")
    command = [sys.executable, "-m", "experiments.evaluate", "-m", "hydra/launcher=submitit_local"]
    done = subprocess.run(
        [*command, f"results_dir={tmp_path / 'sweep'}", *common, "segmenter.tau=0.2,0.5"],
        cwd=ROOT, capture_output=True, text=True, check=False, env=ONE_THREAD,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # a picture failed, in each job
    assert "Traceback" not in done.stderr
    for job, tau in enumerate((0.2, 0.5)):
        process = start(tmp_path / "plain" / str(job), *common, f"segmenter.tau={tau}")
        process.join()
        assert without_timings(tmp_path / "sweep" / str(job)) == without_timings(tmp_path / "plain" / str(job))
