"""K-means over the attention maps against scikit-learn called directly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as SklearnKMeans
from torch import Tensor

from diffseg import kmeans
from diffseg.segmenters import lloyd
from diffseg.segmenters.base import Scene
from diffseg.segmenters.kmeans import KMeans, KMeansS
from tests.helpers.attention import blocks


def test_kmeans_nearest_equals_sklearn() -> None:
    maps = blocks(8, 1.5)
    expected = SklearnKMeans(5, n_init=3, random_state=7).fit_predict(maps.numpy()).reshape(8, 8)
    labels = kmeans(maps, 5, seed=7, n_init=3, size=24, upsample="nearest")
    np.testing.assert_array_equal(labels.numpy(), expected.repeat(3, axis=0).repeat(3, axis=1))


def test_kmeans_soft_is_the_arg_max_of_the_mean_maps() -> None:
    maps = blocks(8, 1.5)
    clusters = SklearnKMeans(5, n_init=3, random_state=7).fit_predict(maps.numpy())
    means = torch.stack([maps[torch.from_numpy(clusters == k)].mean(dim=0) for k in range(5)]).view(1, 5, 8, 8)
    upsampled = torch.nn.functional.interpolate(means, (20, 20), mode="bilinear", align_corners=False)
    assert torch.equal(kmeans(maps, 5, seed=7, n_init=3, size=20), upsampled[0].argmax(dim=0))


def test_kmeans_with_fewer_different_maps_than_clusters_has_fewer_labels() -> None:
    labels = kmeans(blocks(8, noise=0.0), 9, size=8)
    assert labels.unique().tolist() == [0, 1, 2, 3]
    assert all(len(quarter.unique()) == 1 for half in labels.split(4) for quarter in half.split(4, dim=1))


@pytest.mark.parametrize("upsample", ["soft", "nearest"])
def test_a_label_map_need_not_be_square(upsample: Any) -> None:
    aggregated = torch.rand(64, 64, generator=torch.Generator().manual_seed(0))
    aggregated /= aggregated.sum(dim=1, keepdim=True)
    square = kmeans(aggregated, 3, size=24, upsample=upsample)
    # A third of the rows, or of the columns: their centres are those of every third one.
    for size, expected in (((8, 24), square[1::3]), ((24, 8), square[:, 1::3])):
        assert torch.equal(kmeans(aggregated, 3, size=size, upsample=upsample), expected)
    with pytest.raises(ValueError, match="size: must be at least 1 pixel"):
        kmeans(aggregated, 3, size=(24, 0), upsample=upsample)


def test_rows_that_differ_in_the_seed_cluster_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []
    cluster_seeds = lloyd.cluster_seeds

    def counted(points: Tensor, clusters: int, seeds: Any, n_init: int) -> Tensor:
        calls.append(tuple(seeds))
        return cluster_seeds(points, clusters, seeds, n_init)

    monkeypatch.setattr(lloyd, "cluster_seeds", counted)
    scene = Scene(aggregated=blocks(), size=(8, 8))
    rows = [KMeans(4), KMeans(4, seed=2), KMeans(4, seed=1, upsample="nearest"), KMeans(4, seed=5, n_init=2), KMeans(3)]
    label_maps = list(KMeans.segment_all(scene, rows))
    assert calls == [(0, 1, 2), (5,), (0,)]
    for row, labels in zip(rows, label_maps, strict=True):
        assert torch.equal(labels, row(scene))


def test_the_segmenter_calls_the_function() -> None:
    maps = blocks(8, 1.0)
    scene = Scene(aggregated=maps, size=(20, 20), true_classes=3)
    assert torch.equal(KMeansS(seed=3)(scene), kmeans(maps, 3, 3, size=20))
    assert torch.equal(KMeans(5, upsample="nearest")(scene), kmeans(maps, 5, size=20, upsample="nearest"))
