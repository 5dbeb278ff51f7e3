"""Scores of four methods on real images with real weights, against figures measured by others with the same recipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import Tensor

from datasets.base import Dataset
from datasets.cityscapes27 import Cityscapes27
from datasets.cocostuff27 import CocoStuff27
from diffseg import AttentionMaps, aggregate, dbscan, kmeans, segment
from diffseg.backbones.vit import ViT
from eval.counts import Counts
from eval.matching import match
from eval.metrics import accuracy, mean_iou
from tests.helpers.squares import square_image, square_label

SIZE = 448
# ACC / mIoU in percent, protocol `official`, first for side 32 alone, then for 32+16+8: DINOv2 ViT-S/14, layers 8 to
# 11; anchors on the `official` grid; K-means with 10 starts and `soft` upsampling; DBSCAN with eps 0.02, min_samples 5
# and `nearest` upsampling.
FIGURES = {
    "cocostuff27": {
        "DiffSeg 0.3": ((63.5, 32.7), (63.0, 31.5)),
        "DiffSeg 0.4": ((65.5, 33.4), (68.3, 31.2)),
        "K-Means-C": ((60.6, 32.8), (59.0, 31.5)),
        "K-Means-S": ((70.2, 37.8), (67.5, 36.5)),
        "DBSCAN": ((63.3, 29.6), (64.5, 31.5)),
    },
    "cityscapes27": {
        "DiffSeg 0.3": ((76.3, 27.0), (79.0, 24.3)),
        "DiffSeg 0.4": ((83.0, 24.8), (80.3, 16.8)),
        "K-Means-C": ((66.9, 22.5), (72.1, 25.6)),
        "K-Means-S": ((47.4, 13.6), (48.2, 13.1)),
        "DBSCAN": ((73.9, 14.5), (77.7, 19.0)),
    },
}
ACC_TOLERANCE = 3.0
MIOU_TOLERANCE = 5.0  # with so few images, one class more or less moves the mean by several points


def methods(aggregated: Tensor, classes: int) -> Iterator[tuple[str, Tensor]]:
    for tau in (0.3, 0.4):
        yield f"DiffSeg {tau}", segment(aggregated, tau, grid="official", size=SIZE)
    yield "K-Means-C", kmeans(aggregated, 6, size=SIZE)
    yield "K-Means-S", kmeans(aggregated, classes, size=SIZE)
    yield "DBSCAN", dbscan(aggregated, 0.02, 5, size=SIZE, upsample="nearest")


@pytest.fixture(scope="module", params=FIGURES)
def totals(request: pytest.FixtureRequest, shared: Path, dinov2: Path) -> tuple[str, dict[tuple[str, str], Counts]]:
    """Name of a data set, and (method, sides) -> counts over all its pictures here. One backbone pass per image."""
    datasets: dict[str, Dataset] = {
        "cocostuff27": CocoStuff27(
            root=str(shared / "data/cocostuff"), split_file=str(shared / "data/cocostuff/sample.txt")
        ),
        "cityscapes27": Cityscapes27(root=str(shared / "data/cityscapes")),
    }
    dataset, model = datasets[request.param], ViT(size=SIZE).load("cpu")
    totals: dict[tuple[str, str], Counts] = {}
    for id in dataset.ids:
        picture = dataset.load(id)
        image, label = square_image(picture, SIZE), square_label(picture, SIZE)
        maps: AttentionMaps = model.attend(image[None])[0]
        classes = int(label[label >= 0].unique().numel())
        for sides, tensor in (("32", maps.maps[32]), ("32+16+8", aggregate(maps.maps))):
            for name, labels in methods(tensor, classes):
                counts = match(labels.numpy(), label.numpy())
                totals[name, sides] = totals.get((name, sides), Counts.zeros(27)) + counts
    return request.param, totals


@pytest.mark.long
def test_scores_are_near_the_reference_figures(totals: tuple[str, dict[tuple[str, str], Counts]]) -> None:
    name, counts_of = totals
    far = []
    for method, figures in FIGURES[name].items():
        for sides, (acc, miou) in zip(("32", "32+16+8"), figures, strict=True):
            counts = counts_of[method, sides]
            ours = 100 * accuracy(counts), 100 * mean_iou(counts)
            if abs(ours[0] - acc) > ACC_TOLERANCE or abs(ours[1] - miou) > MIOU_TOLERANCE:
                far.append(f"{method}, sides {sides}: {ours[0]:.1f} / {ours[1]:.1f}, reference {acc} / {miou}")
    assert not far
