"""Rows of the experiments: sweeps, overrides that reach them, and the number of clusters from the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffseg.backbones import MissingWeights, tuned_values
from eval.class_counts import mean_classes
from eval.config import ConfigError
from eval.rows import prepare
from experiments.running.rows import check
from tests.helpers.coco_folder import IDS, image_of, label_of, write_folder
from tests.helpers.rows import rows_of
from tests.helpers.runs import SMALL, evaluate


def test_a_sweep_makes_a_row_for_each_value() -> None:
    rows = [(row.name, row.composed.segmenter.get("seed")) for row in rows_of("experiment=table1")]
    assert rows == [
        *(("K-Means-C", seed) for seed in range(5)),
        *(("K-Means-S", seed) for seed in range(5)),
        *(("DBSCAN", None), ("DinoSeg", None), ("DiffSeg", None), ("DiffSeg", None)),
    ]


def test_two_sweeps_make_a_row_for_each_combination() -> None:
    rows = "rows=[{name: A, overrides: ['segmenter=dbscan', 'segmenter.eps=0.1,0.2', 'segmenter.min_samples=2,3']}]"
    pairs = [(row.composed.segmenter.eps, row.composed.segmenter.min_samples) for row in rows_of(rows)]
    assert pairs == [(0.1, 2), (0.1, 3), (0.2, 2), (0.2, 3)]


def test_a_value_of_the_user_replaces_a_sweep() -> None:
    rows = rows_of("experiment=table1", "+segmenter.seed=7")
    assert [(row.name, row.composed.segmenter.seed) for row in rows[:2]] == [("K-Means-C", 7), ("K-Means-S", 7)]
    assert len(rows) == 6


@pytest.mark.parametrize("experiment", ["table1", "table2"])
def test_a_value_of_the_user_replaces_that_of_a_row(experiment: str) -> None:
    sizes = {row.name: row.size for row in rows_of(f"experiment={experiment}", "backbone.size=64")}
    assert {size for name, size in sizes.items() if name != "DinoSeg"} == {64}


def test_rows_of_the_tables_have_the_published_settings() -> None:
    for experiment, sizes, tau in (("table1", [320, 512], 1.1), ("table2", [320, 512], 0.9)):
        rows = [row for row in rows_of(f"experiment={experiment}") if row.name == "DiffSeg"]
        assert [row.size for row in rows] == sizes
        assert {tuned_values(row.backbone, "diffseg", row.dataset.name)["tau"] for row in rows} == {tau}
        assert {(row.backbone.timestep, row.composed.segmenter.anchors) for row in rows} == {(300, 16)}
    notes = {row.name: row.note for row in rows_of("experiment=table1")}
    assert {name for name, note in notes.items() if note} == {"DBSCAN", "DinoSeg"}


def test_a_backbone_path_reaches_only_rows_that_choose_no_backbone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DIFFSEG_DINO_VITS8", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    rows = rows_of("experiment=table1", f"backbone.path={tmp_path}", f"dataset.root={write_folder(tmp_path)}")
    assert {row.backbone.path for row in rows if row.name != "DinoSeg"} == {str(tmp_path)}
    (dino,) = (row for row in rows if row.name == "DinoSeg")
    assert dino.backbone.path == "facebook/dino-vits8"
    with pytest.raises(MissingWeights, match="environment variable DIFFSEG_DINO_VITS8=DIR"):
        check([dino])
    monkeypatch.setenv("DIFFSEG_DINO_VITS8", "elsewhere")
    (dino,) = (row for row in rows_of("experiment=table1") if row.name == "DinoSeg")
    assert dino.backbone.path == "elsewhere"


def test_a_key_of_a_chosen_backbone_reaches_its_row() -> None:
    layers = {
        row.name: row.composed.backbone.get("layers") for row in rows_of("experiment=table1", "+backbone.layers=[10]")
    }
    assert {name: value for name, value in layers.items() if value} == {"DinoSeg": [10]}


@pytest.mark.usefixtures("dinov2")
def test_a_key_that_only_some_rows_have_is_set_in_these(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Hydra itself would refuse it: the configuration around the rows has another segmenter."""
    overrides = ("experiment=demo", "dataset.limit=1", "panels=0", *SMALL)
    run = evaluate(tmp_path / "run", *overrides, "segmenter.eps=0.03", capture=capsys)
    assert run.status == 0, run.err
    assert run.table().groupby("row")["eps"].first().dropna().to_dict() == {"DBSCAN": 0.03}
    sweep = evaluate(tmp_path / "sweep", *overrides, "segmenter.eps=0.03,0.04", capture=capsys, multirun=True)
    assert sweep.status == 0, sweep.err
    assert list(sweep.table("sweep")["eps"].dropna().unique()) == [0.03, 0.04]
    assert "DBSCAN, eps=0.04" in sweep.out
    wrong = evaluate(tmp_path / "wrong", *overrides, "segmenter.esp=0.03", capture=capsys)
    message = "segmenter.esp: no row of experiment=demo has this key; did you mean segmenter.eps?"
    assert (wrong.status, wrong.err) == (2, f"error: {message}\n")


@pytest.mark.parametrize(
    "rows",
    ["3", "[3]", "[{overrides: [tracker]}]", "[{name: A, override: []}]", "[{name: A, overrides: 3}]"],
)
def test_malformed_rows_are_refused(rows: str) -> None:
    with pytest.raises(ConfigError, match="rows: must be a list of "):
        rows_of(f"rows={rows}")


def test_mean_classes_counts_the_classes_in_the_squares_of_all_pictures(tmp_path: Path) -> None:
    """Margins, void pixels and the limit of the run make no difference."""
    root = write_folder(tmp_path)
    with Image.open(image_of(root, IDS[0])) as image:
        width, height = image.size
    for id, things in zip(IDS, ([0, 1, 15], [0, 15, 24, 25, 39], [0, 2]), strict=True):
        label = np.full((height, width), 255, np.uint8)
        label[0, : (width - height) // 2] = 61
        label[: len(things), width // 2] = things
        Image.fromarray(label).save(label_of(root, id))
    rows = rows_of("dataset=cocostuff27", f"dataset.root={root}", "dataset.limit=1", "segmenter=kmeans_c")
    dataset = rows[0].dataset
    counts = [
        len(np.unique(dataset.load(id).label[:, (width - height) // 2 : (width + height) // 2])) - 1 for id in IDS
    ]
    assert mean_classes(dataset) == round(sum(counts) / 3)
    assert len(set(counts)) > 1


@pytest.mark.usefixtures("dinov2")
def test_clusters_that_are_null_become_the_mean_number_of_classes() -> None:
    (row,) = rows_of("segmenter=kmeans_c", "segmenter.clusters=null", "dataset.limit=1")
    expected = mean_classes(row.dataset)
    assert prepare(row).settings["segmenter"]["clusters"] == expected
    assert 2 <= expected <= 6
    (fixed,) = rows_of("segmenter=kmeans_c", "dataset.limit=1")
    assert prepare(fixed).settings["segmenter"]["clusters"] == 6
