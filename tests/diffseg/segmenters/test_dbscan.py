"""DBSCAN over the attention maps: its labels, and what becomes of noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import DBSCAN as SklearnDBSCAN

from diffseg import dbscan
from diffseg.segmenters.dbscan import density_labels
from tests.conftest import GOLDEN
from tests.helpers.attention import blocks, smooth
from tests.helpers.golden import IMAGES, read_golden


def test_dbscan_own_noise_is_the_last_label() -> None:
    maps = blocks(8, 1.0)
    sklearn_labels = SklearnDBSCAN(eps=0.26, min_samples=4).fit(maps.numpy()).labels_
    assert sklearn_labels.min() == -1  # the case has noise
    assert sklearn_labels.max() >= 1
    expected = np.where(sklearn_labels == -1, sklearn_labels.max() + 1, sklearn_labels).reshape(8, 8)
    labels = dbscan(maps, 0.26, 4, size=8, upsample="nearest")
    np.testing.assert_array_equal(labels.numpy(), expected)


def test_dbscan_nearest_noise_joins_the_nearest_mean() -> None:
    maps = blocks(8, 1.0)
    sklearn_labels = SklearnDBSCAN(eps=0.26, min_samples=4).fit(maps.numpy()).labels_
    means = np.stack([maps.numpy()[sklearn_labels == k].mean(axis=0) for k in range(sklearn_labels.max() + 1)])
    expected = sklearn_labels.copy()
    for index in np.flatnonzero(sklearn_labels == -1):
        expected[index] = np.linalg.norm(maps.numpy()[index] - means, axis=1).argmin()
    labels = dbscan(maps, 0.26, 4, noise="nearest", size=8, upsample="nearest")
    np.testing.assert_array_equal(labels.numpy().ravel(), expected)


def test_dbscan_all_noise_is_one_segment() -> None:
    for noise in ("own", "nearest"):
        assert dbscan(torch.eye(16), 1e-3, 5, noise=noise, size=8).unique().tolist() == [0]  # type: ignore[arg-type]


@pytest.mark.parametrize("min_samples", [1, 4, 6])
def test_dbscan_labels_equal_sklearn(min_samples: int) -> None:
    counts = set()
    for seed in range(4):
        maps = smooth(16, seed)
        for eps in (0.06, 0.1, 0.15, 0.2):
            expected = SklearnDBSCAN(eps=eps, min_samples=min_samples).fit(maps.numpy())
            np.testing.assert_array_equal(density_labels(maps, eps, min_samples).numpy(), expected.labels_)
            counts.add(int(expected.labels_.max()))
    assert len(counts) > 4  # the cases differ


def test_dbscan_decides_ties_and_cancelling_distances_as_float64() -> None:
    """Points of a lattice far from the origin, where float32 errors exceed the distances. |(3, 4)| = 5 = eps."""
    lattice = torch.cartesian_prod(torch.arange(12), torch.arange(12)).float()
    points = torch.cat((3000.0 + 3 * lattice[:, :1], 5000.0 + 4 * lattice[:, 1:]), dim=1)
    points = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))][:90]
    for eps in (4.0, 5.0, np.nextafter(5.0, 0)):
        for min_samples in (2, 4, 5, 6):
            expected = SklearnDBSCAN(eps=eps, min_samples=min_samples).fit(points.numpy()).labels_
            np.testing.assert_array_equal(density_labels(points, float(eps), min_samples).numpy(), expected)


def test_dbscan_border_point_joins_the_first_cluster_that_reaches_it() -> None:
    points = torch.tensor([10, 0, 5, 0.5, 0.7, 1, 9.5, 9.3, 9, 30])[:, None]  # 5 is near 1 and 9, and no core point
    expected = SklearnDBSCAN(eps=4.2, min_samples=4).fit(points.numpy()).labels_
    assert expected.tolist() == [0, 1, 0, 1, 1, 1, 0, 0, 0, -1]
    np.testing.assert_array_equal(density_labels(points, 4.2, 4).numpy(), expected)


@pytest.mark.slow
@pytest.mark.parametrize("image", IMAGES)
def test_dbscan_labels_equal_sklearn_at_the_size_of_stable_diffusion(image: str) -> None:
    maps = read_golden(GOLDEN, image).aggregated
    for eps, min_samples in ((0.02, 5), (0.004, 10)):
        sklearn_labels = SklearnDBSCAN(eps=eps, min_samples=min_samples).fit(maps.numpy()).labels_
        np.testing.assert_array_equal(density_labels(maps, eps, min_samples).numpy(), sklearn_labels)
