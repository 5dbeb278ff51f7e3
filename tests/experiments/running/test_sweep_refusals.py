"""Sweeps with a wrong point, and folders that a sweep does not touch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.runs import SMALL
from tests.helpers.sweeps import Sweep, contents_of

pytestmark = pytest.mark.usefixtures("dinov2")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("segmenter.anchors=4,2,40", "job 2 (segmenter.anchors=40): segmenter.anchors: must be 1..8"),
        ("segmenter.tau=0.3,-1", "job 1 (segmenter.tau=-1): segmenter.tau: must be above 0"),
        ("device=cpu,cuda", "device: the jobs of a sweep share one, got cpu, cuda"),
        ("hydra.sweep.subdir=job-${hydra.job.num}", "job 0: its results would go to"),
        ("hydra.sweeper.max_batch_size=1", "hydra.sweeper.max_batch_size: the jobs of a sweep share one pass"),
        (
            "segmenter.tau=0.2,0.3,0.20",
            "segmenter.tau=0.2,0.3,0.20: the value 0.2 occurs twice; give each value once",
        ),
        ("segmenter=diffseg,diffseg", "segmenter=diffseg,diffseg: the value diffseg occurs twice"),
        ("tracker=wandb tracker.timeout=5,-1", "job 1 (tracker.timeout=-1): tracker.timeout: must be"),
        ("backbone.timestep=1,2", "backbone.timestep: ViT has no such key; known: debias, dtype"),
        ("segmenter=diffseg,dbscan", "job 1 (segmenter=dbscan): segmenter.anchors: DBSCAN has no such key; known: eps"),
    ],
)
def test_a_wrong_point_is_one_line_before_any_point_runs(
    sweep: Sweep, calls: Counter[str], override: str, message: str
) -> None:
    run = sweep(*(SMALL[:2] if "anchors" in override else SMALL), "dataset.limit=1", *override.split())
    assert run.status == 2
    assert run.err.startswith("error: ")
    assert message in run.err
    assert len(run.err.splitlines()) == 1
    assert not calls["attend_encoded"]
    assert not run.folder.exists()


def test_a_sweep_that_is_refused_leaves_the_folder_as_it_was(sweep: Sweep) -> None:
    overrides = (*SMALL, "dataset.limit=1", "panels=0")
    before = contents_of(sweep(*overrides, "segmenter.tau=0.3").folder)
    run = sweep(*overrides, "segmenter.tau=0.3,0.4,-1")
    assert run.status == 2
    assert contents_of(run.folder) == before


def test_a_sweep_of_an_older_version_is_left_alone(sweep: Sweep, tmp_path: Path) -> None:
    old = tmp_path / "sweep" / "0"
    old.mkdir(parents=True)
    (old / "records.jsonl").write_text('{"type": "variant", "key": "k", "settings": {}}\n')
    (old / "summary.csv").write_text("variant,acc\n")
    before = contents_of(tmp_path / "sweep")
    run = sweep(*SMALL, "dataset.limit=1", "panels=0", "segmenter.tau=0.3,0.4")
    assert run.status == 2
    assert run.err.splitlines() == [
        f"error: {old}/records.jsonl: written by an older version of this project, and not changed; give this run "
        "another results_dir"
    ]
    assert contents_of(tmp_path / "sweep") == before
