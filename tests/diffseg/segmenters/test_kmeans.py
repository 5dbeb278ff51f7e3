"""K-means over the attention maps against scikit-learn called directly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as SklearnKMeans
from torch import Tensor

from diffseg import kmeans
from diffseg.segmenters.base import Scene
from diffseg.segmenters.kmeans import KMeans, KMeansS, _means, lloyd
from tests.conftest import GOLDEN
from tests.helpers.attention import blocks, smooth
from tests.helpers.golden import IMAGES, read_golden


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
    with pytest.raises(TypeError, match=r"^aggregated: must be a torch tensor, got ndarray$"):
        kmeans(aggregated.numpy(), 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="size: must be a whole number of pixels, at least 1"):
        kmeans(aggregated, 3, size=(24, 0), upsample=upsample)


def test_the_segmenter_calls_the_function() -> None:
    maps = blocks(8, 1.0)
    scene = Scene(aggregated=maps, size=(20, 20), true_classes=3)
    assert torch.equal(KMeansS(seed=3)(scene), kmeans(maps, 3, 3, size=20))
    assert torch.equal(KMeans(5, upsample="nearest")(scene), kmeans(maps, 5, size=20, upsample="nearest"))


def inertia(maps: Tensor, labels: Tensor) -> float:
    maps = maps.double()
    clusters = [maps[labels == k] for k in labels.unique()]
    return sum(float((points - points.mean(dim=0)).square().sum()) for points in clusters)


@pytest.mark.parametrize("clusters", [1, 2, 6, 17])
def test_kmeans_is_as_good_as_sklearn(clusters: int) -> None:
    same = 0
    for seed in range(4):
        maps = smooth(16, seed)
        labels = lloyd(maps, clusters, seed)
        expected = torch.from_numpy(SklearnKMeans(clusters, n_init=10, random_state=seed).fit_predict(maps.numpy()))
        assert inertia(maps, labels) <= 1.001 * inertia(maps, expected)
        same += torch.equal(labels, expected.long())
    assert same >= 3  # rounding on another machine may change one of the 4


def test_kmeans_with_one_start_equals_sklearn() -> None:
    maps = smooth(12, 5)
    for seed in range(10):
        expected = SklearnKMeans(5, n_init=1, random_state=seed).fit_predict(maps.numpy())
        np.testing.assert_array_equal(lloyd(maps, 5, seed, n_init=1).numpy(), expected)


def test_an_empty_cluster_gets_the_farthest_point() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0], [0.0, 4.0]])
    labels = torch.tensor([[0, 0, 0, 2], [0, 1, 2, 2]])
    centres = torch.tensor([[[0.0, 0.0], [50.0, 0.0], [0.0, 3.0]]]).expand(2, 3, 2)
    sums = torch.tensor([[[10.0, 0.0], [0.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [1.0, 0.0], [9.0, 4.0]]])
    expected = [[[0.5, 0.0], [9.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [1.0, 0.0], [4.5, 2.0]]]
    assert _means(points, labels, sums, centres).tolist() == expected


@pytest.mark.slow
@pytest.mark.parametrize("image", IMAGES)
def test_kmeans_is_as_good_as_sklearn_at_the_size_of_stable_diffusion(image: str) -> None:
    maps = read_golden(GOLDEN, image).aggregated
    expected = torch.from_numpy(SklearnKMeans(6, n_init=10, random_state=0).fit_predict(maps.numpy()))
    assert inertia(maps, lloyd(maps, 6)) <= 1.001 * inertia(maps, expected)
