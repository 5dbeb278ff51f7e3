"""After a kill or a full disk, the same command ends with the files of an undisturbed run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.helpers.coco_folder import write_spoilt_folder
from tests.helpers.forks import log, start
from tests.helpers.runs import Run, evaluate, without_timings

PICTURES = [f"{number:012}" for number in range(1, 6)]
SPOILT = PICTURES[1]
# Two passes of the backbone. Two rows share the tensor of one pass.
LARGE, LITTLE = "'backbone.size=112', 'backbone.sides=[8]'", "'backbone.size=56', 'backbone.sides=[4]'"
ROWS = (
    f"{{name: 'K-Means', overrides: ['segmenter=kmeans_c', 'segmenter.clusters=3', {LARGE}]}}",
    f"{{name: 'DiffSeg', overrides: ['segmenter=diffseg', {LITTLE}]}}",
    f"{{name: 'DiffSeg', overrides: ['segmenter=diffseg', {LARGE}]}}",
)

pytestmark = pytest.mark.usefixtures("dinov2")


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Overrides for a run over five pictures, one of which cannot be decoded."""
    data = write_spoilt_folder(tmp_path_factory.mktemp("coco"), PICTURES, SPOILT)
    return (*data, f"rows=[{','.join(ROWS)}]", "segmenter.anchors=4", "panels=3", "allow_failures=true")


@pytest.fixture(scope="module")
def undisturbed(overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    complete(folder, *overrides)
    return folder


def steps(folder: Path) -> int:
    """Progress of a run: the number of its records and files."""
    records = folder / "records.jsonl"
    lines = records.read_bytes().count(b"\n") if records.exists() else 0
    return lines + sum(path.is_file() for path in folder.rglob("*"))


@pytest.mark.long
@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_runs_killed_at_random_moments_are_completed(
    kills: int, undisturbed: Path, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    """Every run is killed twice and started again, until there were so many kills."""
    generator = random.Random(3)
    last = steps(undisturbed)
    killed_at: list[int] = []
    while len(killed_at) < kills:
        folder = tmp_path / f"{len(killed_at)}"
        for _ in range(2):
            process = start(folder, *overrides)
            until = generator.randint(min(steps(folder) + 1, last), last)
            while process.is_alive() and steps(folder) < until:
                time.sleep(0.001)
            time.sleep(generator.uniform(0, 0.1))
            process.kill()
            process.join()
            if process.exitcode == -signal.SIGKILL:
                killed_at.append(steps(folder))
        complete(folder, *overrides)
        assert without_timings(folder) == without_timings(undisturbed)
    assert len(set(killed_at)) > kills / 3  # spread over the run


def test_left_overs_of_a_kill_between_two_writes_do_no_harm(
    undisturbed: Path, overrides: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Writes leftovers that are rare: half a file beside each file, half a record, and tables that are missing."""
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    for path in [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")]:
        path.with_name(f".{path.name}.tmp").write_bytes(path.read_bytes()[:100])
        if path.suffix in (".png", ".csv", ".md"):
            path.unlink()
    whole = (folder / "records.jsonl").read_bytes()
    (folder / "records.jsonl").write_bytes(whole[: len(whole) * 2 // 3])
    # These exist only before the records are in order and the list of files is complete.
    for name in (".records.jsonl.tmp", "..written.json.tmp"):
        (folder / name).unlink()
    assert evaluate(folder, *overrides, capture=capfd).status == 0
    assert without_timings(folder) == without_timings(undisturbed)


@pytest.mark.parametrize("file", ["config.yaml", "records.jsonl", ".png"])
def test_a_file_that_cannot_grow_is_one_line_and_the_run_is_completed_later(
    undisturbed: Path, overrides: tuple[str, ...], tmp_path: Path, file: str
) -> None:
    """The system refuses to write beyond a size, as it does on a full disk."""
    folder = tmp_path / "run"
    lines = (undisturbed / "records.jsonl").read_bytes().splitlines(keepends=True)
    records, rows = len(b"".join(lines)), len(b"".join(lines[: len(ROWS)]))
    config = (undisturbed / "config.yaml").stat().st_size
    tables = max(path.stat().st_size for path in undisturbed.iterdir() if path.is_file())
    assert rows < config < records
    largest = {"config.yaml": rows, "records.jsonl": (config + records) // 2, ".png": tables + 1_000}
    process = start(folder, *overrides, largest=largest[file])
    process.join()
    assert_stopped(Run(process.exitcode, "", log(folder).read_text(), folder), file)
    kept = (folder / "records.jsonl").read_bytes()
    complete(folder, *overrides)
    assert (folder / "records.jsonl").read_bytes().startswith(kept[: kept.rindex(b"\n") + 1])
    assert without_timings(folder) == without_timings(undisturbed)


@pytest.mark.long
def test_a_full_disk_is_one_line_and_the_run_is_completed_later(
    undisturbed: Path, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    """A real file system of 48 KiB, mounted in a separate name space."""
    disk, kept = tmp_path / "disk", tmp_path / "run"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=48k none {disk}"
    alone = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*alone, mount], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no test mount a file system")
    command = f'{mount} && "$@"; status=$?; cp -a {disk}/run {kept}; exit $status'
    done = subprocess.run(
        [*alone, command, "sh", sys.executable, "-m", "experiments.evaluate", f"results_dir={disk}/run", *overrides],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert_stopped(Run(done.returncode, done.stdout, done.stderr, kept), f"{disk}/run/")
    assert "No space left on device" in done.stderr
    complete(kept, *overrides)
    assert without_timings(kept) == without_timings(undisturbed)


def complete(folder: Path, *overrides: str) -> None:
    """Runs to the end without disturbance."""
    process = start(folder, *overrides)
    process.join()
    assert process.exitcode == 0, log(folder).read_text()


def assert_stopped(run: Run, file: str) -> None:
    """Asserts that the run ended with one line that names the file, and left no half file."""
    assert run.status == 2, run.err
    errors = [line for line in run.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, run.err
    assert file in errors[0]
    assert "cannot be written" in errors[0]
    assert "Traceback" not in run.err
    assert not list(run.folder.rglob(".*.tmp"))
