"""The command that uploads offline wandb runs, printed after a run or a sweep."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from eval.tracking.wandb_tracker import _say
from tests.helpers.runs import SMALL, evaluate
from tests.helpers.wandb_file import WandbFile
from tests.helpers.wandb_runs import OFFLINE, ROWS, begin, recorded, track, would_upload


def test_one_line_says_how_to_upload_and_nothing_else_is_printed(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    track(begin(OFFLINE, folder), folder)
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    places = [place for place, _ in recorded(folder)]
    assert sorted(shlex.split(line.partition("wandb sync")[2])) == sorted(str(place) for place in places)
    assert sorted(would_upload(line)) == sorted(places)


def test_the_jobs_of_a_sweep_are_uploaded_by_one_command(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sweep = folder.parent / "my sweep"
    for number in range(2):
        job = Path(shutil.copytree(folder, sweep / str(number)))
        begin(OFFLINE, job, slice(number, number + 1), sweep=sweep, point=f"tau=0.{number}").close(failed=False)
        assert not (job / "wandb").exists()
    (line,) = capfd.readouterr().err.splitlines()
    assert sorted(would_upload(line)) == sorted(place for place, _ in recorded(sweep))
    assert [file.run.run_group for _, file in recorded(sweep)] == ["my sweep"] * 2
    assert [file.run.display_name.rpartition(", ")[2] for _, file in recorded(sweep)] == ["tau=0.0", "tau=0.1"]


@pytest.mark.long
@pytest.mark.parametrize("launcher", ["one_pass", pytest.param("basic", marks=pytest.mark.slow)])
def test_a_point_keeps_its_run_when_its_sweep_grows(
    launcher: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each row has one run, also a row that jobs share. Numbers of jobs change; ids and scores do not."""
    overrides = (*SMALL, f"rows={ROWS.replace('0.2,0.4', '0.2')}", "dataset.limit=2", "tracker=wandb")
    overrides += ("tracker.mode=offline", "panels=0", f"hydra/launcher={launcher}")

    def launch(weights: str) -> dict[str, WandbFile]:
        """Run id -> content of the last file of that run, which is what an upload leaves on the server."""
        sweep = folder.parent / "sweep"
        _say.cache_clear()  # another process would print the line again
        run = evaluate(sweep, *overrides, f"segmenter.tau={weights}", capture=capfd, multirun=True)
        assert run.status == 0, run.err
        assert not list(sweep.glob("*/wandb"))
        line = next(line for line in run.err.splitlines() if "wandb sync" in line)
        order = [place.name for place in would_upload(line)]
        assert [name[:27] for name in order] == sorted(name[:27] for name in order), "not in the order of time"
        files = dict(sorted(recorded(sweep), key=lambda each: order.index(each[0].name)))
        return {file.run.run_id: file for file in files.values()}

    before, after = launch("0.3,0.5"), launch("0.2,0.3,0.5")
    assert len(before) == 3
    assert len(after) == 4
    for id, file in before.items():
        for name in [name for name in file.summary if name.startswith(("final/official", "final/present"))]:
            assert after[id].summary[name] == file.summary[name]
        assert after[id].config == file.config
    assert all((len(file.history), file.exit_code) == (2, 0) for file in after.values())
    names = {file.run.display_name for file in after.values()}
    assert launcher == "basic" or names == {"K-Means", *(f"DiffSeg, tau={tau}" for tau in (0.2, 0.3, 0.5))}
