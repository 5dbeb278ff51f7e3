"""Lloyd's algorithm against scikit-learn's, start by start."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as SklearnKMeans
from torch import Tensor

from diffseg.segmenters import lloyd
from tests.conftest import GOLDEN
from tests.helpers.attention import smooth
from tests.helpers.golden import IMAGES, read_golden


def inertia(maps: Tensor, labels: Tensor) -> float:
    maps = maps.double()
    clusters = [maps[labels == k] for k in labels.unique()]
    return sum(float((points - points.mean(dim=0)).square().sum()) for points in clusters)


@pytest.mark.parametrize("clusters", [1, 2, 6, 17])
def test_kmeans_is_as_good_as_sklearn(clusters: int) -> None:
    same = 0
    for seed in range(4):
        maps = smooth(16, seed)
        labels = lloyd.cluster(maps, clusters, seed)
        expected = torch.from_numpy(SklearnKMeans(clusters, n_init=10, random_state=seed).fit_predict(maps.numpy()))
        assert inertia(maps, labels) <= 1.001 * inertia(maps, expected)
        same += torch.equal(labels, expected.long())
    assert same >= 3  # rounding on another machine may change one of the 4


def test_kmeans_with_one_start_equals_sklearn() -> None:
    maps = smooth(12, 5)
    for seed in range(10):
        expected = SklearnKMeans(5, n_init=1, random_state=seed).fit_predict(maps.numpy())
        np.testing.assert_array_equal(lloyd.cluster(maps, 5, seed, n_init=1).numpy(), expected)


def test_an_empty_cluster_gets_the_farthest_point() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0], [0.0, 4.0]])
    labels = torch.tensor([[0, 0, 0, 2], [0, 1, 2, 2]])
    centres = torch.tensor([[[0.0, 0.0], [50.0, 0.0], [0.0, 3.0]]]).expand(2, 3, 2)
    sums = torch.tensor([[[10.0, 0.0], [0.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [1.0, 0.0], [9.0, 4.0]]])
    expected = [[[0.5, 0.0], [9.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [1.0, 0.0], [4.5, 2.0]]]
    assert lloyd._means(points, labels, sums, centres).tolist() == expected


@pytest.mark.parametrize("clusters", [2, 5, 40])
def test_seeds_together_give_the_labels_of_each_seed_alone(clusters: int) -> None:
    maps = smooth(12, 3)
    seeds = (3, 0, 7)
    together = lloyd.cluster_seeds(maps, clusters, seeds, n_init=4)
    for labels, seed in zip(together, seeds, strict=True):
        assert torch.equal(labels, lloyd.cluster(maps, clusters, seed, n_init=4))


@pytest.mark.slow
@pytest.mark.parametrize("image", IMAGES)
def test_kmeans_is_as_good_as_sklearn_at_the_size_of_stable_diffusion(image: str) -> None:
    maps = read_golden(GOLDEN, image).aggregated
    expected = torch.from_numpy(SklearnKMeans(6, n_init=10, random_state=0).fit_predict(maps.numpy()))
    assert inertia(maps, lloyd.cluster(maps, 6)) <= 1.001 * inertia(maps, expected)
