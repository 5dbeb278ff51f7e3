"""The whole path, from pictures to tables, through the real command line, with the real DINOv2 weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from eval.results.run_results import read_run_results
from PIL import Image

from datasets.photos import Photos
from eval.matching import match
from eval.metrics import accuracy, mean_iou
from eval.protocols import PROTOCOLS
from eval.results.columns import SUMMARY
from tests.conftest import ROOT
from tests.helpers.made_records import counts_of
from tests.helpers.runs import SMALL, Run, evaluate, without_timings
from tests.helpers.squares import square_label

pytestmark = pytest.mark.usefixtures("dinov2")
Evaluate = Callable[..., Run]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Evaluate:
    def call(*overrides: str, folder: str = "run", multirun: bool = False) -> Run:
        return evaluate(tmp_path / folder, *SMALL, *overrides, capture=capsys, multirun=multirun)

    return call


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The four methods on three photographs, as a user starts them."""
    folder = tmp_path_factory.mktemp("demo") / "results"
    command = [sys.executable, "-m", "experiments.evaluate", "experiment=demo", "dataset.limit=3", "panels=2", *SMALL]
    done = subprocess.run([*command, f"results_dir={folder}"], cwd=ROOT, capture_output=True, text=True, check=False)
    return Run(done.returncode, done.stdout, done.stderr, folder)


def test_demo_writes_its_files_and_says_where(demo: Run) -> None:
    assert demo.status == 0, demo.err
    names = {"records.jsonl", "summary.csv", "summary.md", "per_class.csv", "per_image.csv", "config.yaml"}
    assert names | {"provenance.json", "panels", "labels"} <= {path.name for path in demo.folder.iterdir()}
    assert str(demo.folder) in demo.out
    for method in ("K-Means-C", "K-Means-S", "DBSCAN", "DiffSeg"):
        assert f"| {method} " in demo.out
    assert sorted(path.name for path in (demo.folder / "panels").iterdir()) == [
        "astronaut.png",
        "chelsea.png",
        "overview.png",
    ]
    summary = demo.table()
    # Then the other settings of these segmenters.
    assert tuple(summary.columns) == (*SUMMARY, "refine", "input")
    assert len(summary) == 4 * len(PROTOCOLS)
    assert set(summary["images"]) == {3}
    assert summary["acc"].between(5, 100).all()
    assert (summary["acc_low"] <= summary["acc"]).all()
    assert (summary["acc"] <= summary["acc_high"]).all()
    assert len(demo.table("per_image")) == 4 * 3 * len(PROTOCOLS)
    assert len(demo.table("per_class")) == 4 * 27 * len(PROTOCOLS)


def test_scores_follow_from_the_label_maps(demo: Run) -> None:
    """Computes the tables again from the kept label maps and the ground truth."""
    dataset = Photos(limit=2)
    per_image = demo.table("per_image").set_index(["row", "protocol", "image"])
    names = {row.key: row.name for row in read_run_results(demo.folder).rows}
    for folder in (demo.folder / "labels").iterdir():
        name = names[folder.name]
        for id in dataset.ids:
            labels = np.asarray(Image.open(folder / f"{id}.png"))
            truth = square_label(dataset.load(id), 112).numpy()
            for protocol in PROTOCOLS:
                counts = match(labels.astype(int), truth, 27, protocol)
                row = per_image.loc[(name, protocol, id)]
                assert row["acc"] == pytest.approx(100 * accuracy(counts), abs=1e-3)
                assert row["miou"] == pytest.approx(100 * mean_iou(counts), abs=1e-3)
                assert row["segments"] == len(np.unique(labels))


def test_summary_is_the_sum_of_the_records(demo: Run) -> None:
    summary = demo.table().set_index(["row", "protocol"])
    keys = {record["key"]: record["settings"]["segmenter"] for record in demo.records() if record["type"] == "row"}
    names = {"DiffSeg": "DiffSeg", "DBSCAN": "DBSCAN", "KMeans": "K-Means-C", "KMeansS": "K-Means-S"}
    for key, settings in keys.items():
        row = names[settings["kind"]]
        for protocol in PROTOCOLS:
            counts = [counts_of(each, protocol) for each in demo.images() if each["key"] == key]
            assert len(counts) == 3
            total = sum(counts[1:], counts[0])
            assert summary.loc[(row, protocol), "acc"] == pytest.approx(100 * accuracy(total), abs=1e-3)
            assert summary.loc[(row, protocol), "miou"] == pytest.approx(100 * mean_iou(total), abs=1e-3)
    assert all(0 <= each["underflow"] <= 1 for each in demo.images())


def test_methods_of_a_run_share_the_pass(demo: Run) -> None:
    """All rows of a picture have the same time for the attention, because it was computed once."""
    for id in Photos(limit=3).ids:
        times = {each["seconds"]["attention"] for each in demo.images() if each["image"] == id}
        assert len(times) == 1


def test_the_same_settings_give_the_same_files(run: Evaluate) -> None:
    overrides = ("dataset.limit=2", "panels=2")
    first, second = run(*overrides, folder="a"), run(*overrides, folder="b")
    assert first.status == second.status == 0
    assert without_timings(first.folder) == without_timings(second.folder)


def test_a_second_run_continues_the_first(run: Evaluate) -> None:
    whole = run("dataset.limit=4", "panels=1", folder="whole")
    part = run("dataset.limit=2", "panels=1", folder="parts")
    before = (part.folder / "records.jsonl").read_text()
    both = run("dataset.limit=4", "panels=1", folder="parts")
    assert (both.folder / "records.jsonl").read_text().startswith(before)  # nothing was done again
    assert without_timings(both.folder) == without_timings(whole.folder)
    again = (both.folder / "records.jsonl").read_bytes()
    assert run("dataset.limit=4", "panels=1", folder="parts").status == 0
    assert (both.folder / "records.jsonl").read_bytes() == again


def test_results_of_other_settings_do_not_mix(run: Evaluate, caplog: pytest.LogCaptureFixture) -> None:
    first = run("dataset.limit=1", "segmenter.tau=0.2")
    kept = first.records()
    second = run("dataset.limit=1", "segmenter.tau=0.9")
    assert "segmenter.tau: 0.2 -> 0.9" in caplog.text
    assert second.records()[: len(kept)] == kept
    assert len(second.images()) == 2
    fresh = run("dataset.limit=1", "segmenter.tau=0.9", folder="fresh")
    assert without_timings(second.folder)["summary.csv"] == without_timings(fresh.folder)["summary.csv"]


def test_a_lost_label_map_is_drawn_again_without_a_record(run: Evaluate) -> None:
    first = run("dataset.limit=1", "panels=1")
    files = without_timings(first.folder)
    shutil.rmtree(first.folder / "labels")
    assert without_timings(run("dataset.limit=1", "panels=1").folder) == files


def test_each_job_of_a_sweep_has_the_table_of_a_single_run(run: Evaluate) -> None:
    sweep = run("segmenter.tau=0.2,0.3,0.5", "dataset.limit=1", "panels=0", multirun=True)
    assert sweep.status == 0, sweep.err
    for job, tau in enumerate((0.2, 0.3, 0.5)):
        table = Run(0, "", "", sweep.folder / str(job)).table()
        assert set(table["tau"]) == {tau}
        alone = run(f"segmenter.tau={tau}", "dataset.limit=1", "panels=0", folder=f"alone{job}")
        assert without_timings(sweep.folder / str(job))["summary.csv"] == without_timings(alone.folder)["summary.csv"]


def test_a_key_of_some_rows_reaches_only_those(run: Evaluate) -> None:
    table = run("experiment=demo", "dataset.limit=1", "segmenter.tau=0.9", "panels=0").table()
    assert table.set_index("row")["tau"].dropna().to_dict() == {"DiffSeg": 0.9}


def test_protocol_size_is_the_scored_size(run: Evaluate) -> None:
    done = run("dataset.limit=1", "panels=1", "protocol.size=40")
    assert counts_of(done.images()[0]).labelled == 40 * 40
    with Image.open(next((done.folder / "labels").rglob("*.png"))) as labels:
        assert labels.size == (40, 40)


def test_a_single_protocol_is_reported_alone(run: Evaluate) -> None:
    assert set(run("dataset.limit=1", "protocol=present", "panels=0").table()["protocol"]) == {"present"}
