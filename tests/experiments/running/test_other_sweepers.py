"""Sweepers and launchers of other packages: points become rows of one run, jobs of a launcher runs of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from eval.runs import read_runs
from experiments.compare.__main__ import main as compare
from experiments.leaderboard import main as leaderboard
from experiments.report.__main__ import main as report
from tests.conftest import ROOT

FREE = ("backbone=none", "backbone.size=32", "dataset.limit=2", "labels=none", "panels=0")
SWEEPER = """
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper


class Halves(Sweeper):
    def setup(self, *, hydra_context, task_function, config):
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments):
        for clusters in (8, 4):
            (result,) = self.launcher.launch([[*arguments, f"segmenter.clusters={clusters}"]], initial_job_idx=0)
            print("score", clusters, result.return_value)


ConfigStore.instance().store(group="hydra/sweeper", name="halves", node={"_target_": "hydra_plugins.halves.Halves"})
"""

MINE = """
from dataclasses import dataclass

from diffseg.segmenters.kmeans_rgbxy import KMeansRGBXY


@dataclass(frozen=True)
class Mine(KMeansRGBXY):
    pass
"""


def start(folder: Path, *overrides: str, **environment: str) -> str:
    command = [sys.executable, "-m", "experiments.evaluate", "-m", f"results_dir={folder}", *FREE, *overrides]
    settings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_the_points_of_another_sweeper_become_rows(tmp_path: Path) -> None:
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "halves.py").write_text(SWEEPER)
    (tmp_path / "conf" / "segmenter").mkdir(parents=True)
    (tmp_path / "conf" / "segmenter" / "mine.yaml").write_text("_target_: mine.Mine\nposition: 0.0\n")
    (tmp_path / "mine.py").write_text(MINE)
    options = (f"--config-dir={tmp_path / 'conf'}", "segmenter=mine", "protocol=present")
    printed = start(tmp_path / "run", "hydra/sweeper=halves", *options, PYTHONPATH=str(tmp_path))
    table = pd.read_csv(tmp_path / "run" / "summary.csv")
    assert table[["clusters", "position"]].to_numpy().tolist() == [[4, 0], [8, 0]]  # the newest point first
    scores = {
        int(clusters): float(score) for clusters, score in re.findall(r"^score (\d) (.+)$", printed, re.MULTILINE)
    }
    assert scores == pytest.approx(table.set_index("clusters")["miou"].to_dict(), abs=1e-3)
    assert [path.name for path in (tmp_path / "run").glob("records*")] == ["records.jsonl"]
    (run,) = read_runs(tmp_path / "run")
    assert [command.arguments[0] for command in run.commands] == [options[0]] * 2


@pytest.mark.long
def test_batches_of_hydras_own_sweeper_become_rows(tmp_path: Path) -> None:
    """Hydra writes ``multirun.yaml`` into the results folder before the first point."""
    start(tmp_path / "run", "hydra.sweeper.max_batch_size=1", "segmenter=kmeans_rgbxy", "segmenter.clusters=2,3")
    assert sorted({*pd.read_csv(tmp_path / "run" / "summary.csv")["clusters"]}) == [2, 3]
    assert (tmp_path / "run" / "multirun.yaml").is_file()


@pytest.mark.long
def test_each_job_of_submitit_is_a_run_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher is not installed")
    folder = tmp_path / "jobs"
    start(
        folder, "hydra/launcher=submitit_local", "segmenter=kmeans_rgbxy", "segmenter.clusters=2,3", "protocol=present"
    )
    runs = read_runs(folder)
    assert [run.folder for run in runs] == [folder / "0", folder / "1"]
    assert [[row.settings["segmenter"]["clusters"] for row in run.rows] for run in runs] == [[2], [3]]
    report([str(folder), "-o", str(tmp_path / "page.html")])
    assert (tmp_path / "page.html").is_file()
    assert leaderboard([str(folder), "-o", str(tmp_path / "board")]) == 0
    board = pd.read_csv(tmp_path / "board" / "leaderboard.csv").dropna(subset="results")
    assert sorted(board["method"]) == ["kmeans_rgbxy, clusters=2", "kmeans_rgbxy, clusters=3"]
    capsys.readouterr()
    assert compare([str(folder), "--to", "kmeans_rgbxy, clusters=2"]) == 0
    assert "clusters=3" in capsys.readouterr().out
