"""Files and folders with special characters in their names work in every command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from diffseg.backbones.weights.files import cache_folder
from diffseg.cli.main import main as diffseg
from experiments.evaluate import main as run_evaluate
from experiments.report.__main__ import main as report
from tests.helpers.coco_folder import IDS, write_folder
from tests.helpers.hard_names import FOLDER_NAMES, HARD_NAME, WITH_COMMAS
from tests.helpers.makefile import command_of
from tests.helpers.runs import SMALL, evaluate


@pytest.mark.usefixtures("dinov2")
def test_runs_sweeps_and_reports_work_below_a_folder_with_a_hard_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each path is typed in another way: in full, with ~, quoted, relative to YAML."""
    monkeypatch.setenv("DIFFSEG_CACHE", str(cache_folder()))
    home = tmp_path / HARD_NAME
    monkeypatch.setenv("HOME", str(home))
    data = write_folder(home / "coco")
    (home / "split.txt").write_text(IDS[0])
    (home / "conf" / "experiment").mkdir(parents=True)
    (home / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nname: mine\nresults_dir: ~/from yaml\n"
    )
    settings = ("dataset=cocostuff27", "dataset.split_file=~/split.txt", *SMALL)
    run = evaluate(home / "run", f"dataset.root={data}", *settings)
    assert run.status == 0, run.err
    assert list(run.table()["images"]) == [1, 1]
    assert str(home / "run") in run.out

    swept = ("dataset.root='~/coco'", "segmenter.tau=0.3,0.4")
    sweep = evaluate(Path("~/sweep"), *swept, *settings, multirun=True)
    assert sweep.status == 0, sweep.err
    assert (home / "sweep" / "summary.csv").is_file()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "sys.argv", ["evaluate", "--config-dir=~/conf", "experiment=mine", f"dataset.root={data}", *settings]
    )
    run_evaluate()
    GlobalHydra.instance().clear()
    assert (home / "from yaml" / "summary.csv").is_file()

    report(["~/run", "-o", "~/page.html"])
    assert (home / "page.html").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [home.name]  # no folder called ~


@pytest.mark.usefixtures("dinov2")
@pytest.mark.parametrize("name", ["Jürgen's (2) #1 = a,b.jpg", "-x.JPG", "🙂.jpeg"])
def test_the_command_line_segments_photographs_with_hard_names(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "coco")
    shutil.copy(next((folder / "val2017").iterdir()), tmp_path / name)
    monkeypatch.setenv("DIFFSEG_CACHE", str(cache_folder()))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert diffseg([f"~/{name}", "-o", "~/out ü", "--size", "56", "--anchors", "2"]) == 0
    assert (tmp_path / "out ü" / f"{Path(name).stem}.overlay.png").is_file()
    assert Path(name).stem in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("name", [folder for folder in (*FOLDER_NAMES, *WITH_COMMAS, "~/data") if "$" not in folder])
def test_make_passes_a_path_to_the_command_unchanged(name: str) -> None:
    name = name.strip()  # as make does
    assert f"dataset.root={name}/cocostuff" in command_of("reproduce-table1", f"DATA={name}")
    assert f"{name}/cocostuff" in command_of("data-cocostuff", f"DATA={name}")
    assert name in command_of("data-cityscapes", f"DIR={name}")
    assert {name, f"{name}/figures"} <= set(command_of("figures", f"RESULTS={name}"))
