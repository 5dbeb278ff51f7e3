"""Sweeps in one pass: each job has the files of a single run, and nothing is computed twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from eval.results.reading import read_results
from PIL import Image

from experiments.bench.tiny_sd import build_tiny_sd
from experiments.plotting.all_plots import all_plots
from experiments.running.panels import MAX_POINTS
from tests.helpers.coco_folder import write_spoilt_folder
from tests.helpers.forks import end_all, log, start_all
from tests.helpers.runs import SMALL, Run, evaluate
from tests.helpers.sweeps import Sweep, jobs, results

VIT = ("backbone.size=112", "backbone.sides=[8,4]")

pytestmark = pytest.mark.usefixtures("dinov2")


@pytest.mark.long
def test_files_are_those_of_jobs_run_one_by_one(sweep: Sweep, calls: Counter[str]) -> None:
    points = ("segmenter.tau=0.3,0.5", "segmenter.anchors=4,2", "aggregation.weights=proportional,finest")
    overrides = (*VIT, "dataset.limit=2", "panels=1", *points)
    together = sweep(*overrides)
    assert together.status == 0, together.err
    assert calls == {
        **{"square_image": 2, "attend_encoded": 2},  # 2 pictures
        **{"__call__": 4, "of": 4},  # times 2 weights
        "divergence": 8,  # times 2 numbers of anchors
        "proposals": 16,  # times 2 thresholds
    }
    apart = sweep(*overrides, "hydra/launcher=basic", folder="apart")
    assert apart.status == 0, apart.err
    assert jobs(together) == jobs(apart)
    assert results(together) == results(apart)
    assert sorted(jobs(together)) == sorted(map(str, range(8)))
    assert not [path for path in together.folder.glob("*/*") if path.name in ("records.jsonl", "panels", "labels")]
    (sheet,) = together.folder.glob("panels/*.png")
    with Image.open(sheet) as drawn:
        assert drawn.width > 4 * 220  # picture, ground truth and the points side by side
    assert list(together.table("sweep")["job"].unique()) == list(range(8))


@pytest.mark.long
def test_time_steps_share_the_latent(sweep: Sweep, calls: Counter[str], tmp_path: Path) -> None:
    sd = build_tiny_sd(tmp_path / "sd")
    overrides = (
        *("backbone=sd14", "backbone.size=64", f"backbone.path={sd}", "segmenter.tau=0.1", "segmenter.anchors=4"),
        *("dataset.limit=2", "panels=0", "backbone.timestep=1,300,900", "aggregation.weights=proportional,finest"),
    )
    together = sweep(*overrides)
    assert together.status == 0, together.err
    assert (calls["encode"], calls["predict"], calls["__call__"]) == (2, 6, 12)
    apart = sweep(*overrides, "hydra/launcher=basic", folder="apart")
    assert calls["encode"] == 2 + 12
    assert jobs(together) == jobs(apart)


def test_rows_of_an_experiment_share_the_pass_too(sweep: Sweep, calls: Counter[str]) -> None:
    """The baselines are the same in both jobs, so they run once and have one line in the table."""
    demo = (*SMALL[:2], "experiment=demo", "dataset.limit=1", "panels=1", "segmenter.anchors=2,4")
    together = sweep(*demo)
    assert together.status == 0, together.err
    assert (calls["attend_encoded"], calls["__call__"], calls["proposals"]) == (1, 1, 2)
    assert calls["cluster_seeds"] == 2  # K-Means-C and K-Means-S
    assert together.out.count("K-Means-C") == 2  # once for each score
    assert jobs(together) == jobs(sweep(*demo, "hydra/launcher=basic", folder="apart"))


def test_failed_pictures_are_counted_for_each_job(sweep: Sweep, tmp_path: Path) -> None:
    data = write_spoilt_folder(tmp_path / "coco", ["000000000001", "000000000002"], "000000000001")
    overrides = (*SMALL[:2], *data, "panels=0", "segmenter.anchors=2,4")
    run = sweep(*overrides)
    assert run.status == 1
    assert run.err.count("1 evaluation failed; ") == 2
    assert [int(failed) for failed in run.table("sweep")["failed"]] == [1] * 4
    assert sweep(*overrides, "allow_failures=true").status == 0


def test_batches_share_one_table(sweep: Sweep) -> None:
    overrides = (*SMALL[:2], "dataset.limit=1", "panels=0", "segmenter.anchors=2,3,4", "hydra.sweeper.max_batch_size=2")
    run = sweep(*overrides, "hydra/launcher=basic")
    assert run.status == 0, run.err
    assert list(run.table("sweep")["anchors"]) == [2, 2, 3, 3, 4, 4]


@pytest.mark.long
def test_processes_that_share_a_sweep_write_the_same_tables(sweep: Sweep, tmp_path: Path) -> None:
    overrides = (*SMALL[:2], "dataset.limit=3", "panels=1", "segmenter.anchors=2,4")
    shared = tmp_path / "shared"
    assert end_all(start_all(shared, 2, "-m", *overrides)) == [0, 0], log(shared).read_text()
    printed = "".join(log(shared, rank).read_text() for rank in "01")
    assert printed.count("Protocol `official`") == 1
    assert jobs(Run(0, "", "", shared)) == jobs(sweep(*overrides))


def test_the_option_m_may_stand_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = (*SMALL, "dataset.limit=1", "panels=0")
    run = evaluate(tmp_path / "sweep", *overrides, "segmenter.tau=0.3,0.4", "-m", capture=capsys)
    assert run.status == 0, run.err
    assert list(run.table("sweep")["tau"].unique()) == [0.3, 0.4]


def test_a_sheet_shows_a_choice_of_many_points(sweep: Sweep) -> None:
    taus = ",".join(str(0.1 + number / 50) for number in range(MAX_POINTS + 3))
    run = sweep(*SMALL, "dataset.limit=1", "panels=1", f"segmenter.tau={taus}")
    assert run.status == 0, run.err
    (line,) = (line for line in run.out.splitlines() if line.startswith("Sheets of the first pictures: "))
    assert f"{MAX_POINTS} of {MAX_POINTS + 3} points: tau=0.1; " in line


def test_a_sweep_without_any_picture_has_no_plots(sweep: Sweep, tmp_path: Path) -> None:
    data = write_spoilt_folder(tmp_path / "coco", ["000000000001"], "000000000001")
    run = sweep(*SMALL[:2], *data, "panels=0", "segmenter.anchors=2,4")
    assert run.status == 1
    assert all_plots(read_results(run.folder)) == {}
