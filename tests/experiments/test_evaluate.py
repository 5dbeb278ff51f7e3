"""The whole path, from pictures to tables, through the real command line, with the real DINOv2 weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.photos import Photos
from eval.counts import Counts
from eval.matching import match
from eval.metrics import accuracy, mean_iou
from eval.protocols import PROTOCOLS
from eval.results.columns import SUMMARY
from eval.runs import read_run
from tests.conftest import ROOT
from tests.helpers.runs import SMALL, Run, evaluate
from tests.helpers.squares import square_label

pytestmark = pytest.mark.usefixtures("dinov2")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The four methods on three photographs, as a user starts them."""
    folder = tmp_path_factory.mktemp("demo") / "results"
    command = [sys.executable, "-m", "experiments.evaluate", "experiment=demo", "dataset.limit=3", "panels=2", *SMALL]
    done = subprocess.run([*command, f"results_dir={folder}"], cwd=ROOT, capture_output=True, text=True, check=False)
    return Run(done.returncode, done.stdout, done.stderr, folder)


def test_demo_writes_its_files_and_says_where(demo: Run) -> None:
    assert demo.status == 0, demo.err
    names = {"records.jsonl", "summary.csv", "table.md", "table.tex", "per_class.csv", "per_image.csv", "config.yaml"}
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
    assert tuple(summary.columns) == (*SUMMARY, "refine", "input", "anchors_by")
    assert len(summary) == 4 * len(PROTOCOLS)
    assert set(summary["images"]) == {3}
    assert summary["acc"].between(5, 100).all()
    assert (summary["acc_low"] <= summary["acc"]).all()
    assert (summary["acc"] <= summary["acc_high"]).all()
    assert len(demo.table("per_image")) == 4 * 3 * len(PROTOCOLS)
    assert len(demo.table("per_class")) == 4 * 27 * len(PROTOCOLS)


def test_scores_follow_from_the_label_maps(demo: Run) -> None:
    """Computes the tables again from the kept label maps and the ground truth."""
    dataset = Photos(limit=3)
    per_image = demo.table("per_image").set_index(["row", "protocol", "image"])
    summary = demo.table().set_index(["row", "protocol"])
    for row in read_run(demo.folder).rows:
        for protocol in PROTOCOLS:
            total = Counts.zeros(27)
            for id in dataset.ids:
                labels = np.asarray(Image.open(demo.folder / "labels" / row.key / f"{id}.png"))
                counts = match(labels.astype(int), square_label(dataset.load(id), 112).numpy(), 27, protocol)
                line = per_image.loc[(row.name, protocol, id)]
                assert line["acc"] == pytest.approx(100 * accuracy(counts), abs=1e-3)
                assert line["miou"] == pytest.approx(100 * mean_iou(counts), abs=1e-3)
                assert line["segments"] == len(np.unique(labels))
                total += counts
            assert summary.loc[(row.name, protocol), "acc"] == pytest.approx(100 * accuracy(total), abs=1e-3)
            assert summary.loc[(row.name, protocol), "miou"] == pytest.approx(100 * mean_iou(total), abs=1e-3)
    assert all(0 <= record["underflow"] <= 1 for record in demo.images())


def test_methods_of_a_run_share_the_pass(demo: Run) -> None:
    """All rows of a picture have the same time for the attention, because it was computed once."""
    for id in Photos(limit=3).ids:
        times = {record["seconds"]["attention"] for record in demo.images() if record["picture"] == id}
        assert len(times) == 1


def test_protocol_size_is_the_scored_size(tmp_path: Path) -> None:
    done = evaluate(tmp_path, *SMALL, "dataset.limit=1", "protocol.size=40")
    (row,) = read_run(done.folder).rows
    assert [counts.labelled for counts in row.counts("present")] == [40 * 40]
    (map_,) = (read_run(done.folder).label_map(row, record.picture) for record in row.records)
    assert map_ is not None
    assert map_.shape == (40, 40)
