"""The gallery: pictures and label maps of finished results, or the reason why they are missing."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from eval.results.reading import read_results
from PIL import Image

from diffseg.palette import palette
from experiments.report.gallery import TILE, read_gallery
from experiments.running.runner import run_plans
from tests.helpers.folder_rows import CLASSES, KMEANS, dataset_of, row_config, write_picture
from tests.helpers.open_runs import plan_of


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Results of two rows on three pictures, two of them with label maps."""
    for id in "abc":
        write_picture(tmp_path / "data", id)
    dataset = dataset_of(tmp_path / "data")
    node = {"_target_": "datasets.folder.FolderDataset", "images": dataset.images, "maps": dataset.maps}
    rows = [row_config(dataset, {**KMEANS, "clusters": clusters}) for clusters in (1, 2)]
    run_plans([plan_of(tmp_path / "run", *rows, panels=2, dataset={**node, "classes": list(CLASSES)})])
    return tmp_path / "run"


def pixels(uri: str) -> np.ndarray:
    head, content = uri.split(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        return np.asarray(image.convert("RGBA"))


def test_pictures_with_label_maps_are_shown_in_the_colours_of_their_classes(run: Path) -> None:
    results = read_results(run)
    shown, reasons = read_gallery(results)
    assert reasons == []
    assert [(each.dataset, each.image) for each in shown] == [("folder", "a"), ("folder", "b")]
    road, sky, _ = ((*map(int, colour), 255) for colour in palette(len(CLASSES)))
    first = shown[0]
    assert first.classes == tuple(
        (name, f"#{bytes(palette(3)[label]).hex()}") for label, name in enumerate(CLASSES[:2])
    )
    assert list(first.labels) == list(results.summary["setting"].unique())
    assert pixels(first.photo).shape == (TILE, TILE, 4)
    one, two = (pixels(uri) for uri in first.labels.values())
    top, bottom = (TILE // 4, TILE // 2), (3 * TILE // 4, TILE // 2)
    for painted in (pixels(first.truth), two):
        assert (tuple(painted[top]), tuple(painted[bottom])) == (road, sky)
    assert tuple(one[top]) == tuple(one[bottom]) in (road, sky)  # a single segment
    assert (two[TILE // 2 - 1 : TILE // 2 + 1] == 255).all(axis=(1, 2)).any()  # a white line between the segments


def test_missing_label_maps_and_pictures_are_told(run: Path, tmp_path: Path) -> None:
    results = read_results(run)
    (tmp_path / "data" / "images" / "b.png").write_bytes(b"damaged")
    shown, (reason,) = read_gallery(results)
    assert [each.image for each in shown] == ["a"]
    assert reason.startswith(f"{tmp_path}/data/images/b.png: ")
    shutil.rmtree(run / "labels")
    assert read_gallery(results) == (
        [],
        ["there are no label maps; the same command with panels=N keeps those of the first N pictures"],
    )
    write_picture(tmp_path / "data", "d")
    assert read_gallery(results) == (
        [],
        [f"{run}: the pictures of dataset folder are no longer those that were evaluated"],
    )
