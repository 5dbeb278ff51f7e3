"""DBSCAN's labels against scikit-learn's, ties and rounding included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import DBSCAN as SklearnDBSCAN

from diffseg.segmenters import density
from tests.conftest import GOLDEN
from tests.helpers.attention import smooth
from tests.helpers.golden import IMAGES, read_golden


@pytest.mark.parametrize("min_samples", [1, 4, 6])
def test_dbscan_labels_equal_sklearn(min_samples: int) -> None:
    found = set()
    for seed in range(4):
        maps = smooth(16, seed)
        for eps in (0.06, 0.1, 0.15, 0.2):
            expected = SklearnDBSCAN(eps=eps, min_samples=min_samples).fit(maps.numpy())
            np.testing.assert_array_equal(density.cluster(maps, eps, min_samples).numpy(), expected.labels_)
            found.add(int(expected.labels_.max()))
    assert len(found) > 4  # the cases differ


def test_dbscan_decides_ties_and_cancelling_distances_as_float64() -> None:
    """Points of a lattice far from the origin, where float32 errors exceed the distances. |(3, 4)| = 5 = eps."""
    lattice = torch.cartesian_prod(torch.arange(12), torch.arange(12)).float()
    points = torch.cat((3000.0 + 3 * lattice[:, :1], 5000.0 + 4 * lattice[:, 1:]), dim=1)
    points = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))][:90]
    for eps in (4.0, 5.0, np.nextafter(5.0, 0)):
        for min_samples in (2, 4, 5, 6):
            expected = SklearnDBSCAN(eps=eps, min_samples=min_samples).fit(points.numpy()).labels_
            np.testing.assert_array_equal(density.cluster(points, float(eps), min_samples).numpy(), expected)


def test_dbscan_border_point_joins_the_first_cluster_that_reaches_it() -> None:
    points = torch.tensor([10, 0, 5, 0.5, 0.7, 1, 9.5, 9.3, 9, 30])[:, None]  # 5 is near 1 and 9, and no core point
    expected = SklearnDBSCAN(eps=4.2, min_samples=4).fit(points.numpy()).labels_
    assert expected.tolist() == [0, 1, 0, 1, 1, 1, 0, 0, 0, -1]
    np.testing.assert_array_equal(density.cluster(points, 4.2, 4).numpy(), expected)


@pytest.mark.parametrize("columns", [1, 8, 13, 64])
def test_neighbours_are_packed_as_numpy_packs_bits(columns: int) -> None:
    close = torch.rand(5, columns, generator=torch.Generator().manual_seed(columns)) < 0.5
    expected = np.packbits(close.numpy(), axis=1)
    np.testing.assert_array_equal(density.bits(close), expected)
    np.testing.assert_array_equal(density.packed(close).numpy(), expected)  # the way of a GPU


@pytest.mark.slow
@pytest.mark.parametrize("image", IMAGES)
def test_dbscan_labels_equal_sklearn_at_the_size_of_stable_diffusion(image: str) -> None:
    maps = read_golden(GOLDEN, image).aggregated
    for eps, min_samples in ((0.02, 5), (0.004, 10)):
        found = SklearnDBSCAN(eps=eps, min_samples=min_samples).fit(maps.numpy()).labels_
        np.testing.assert_array_equal(density.cluster(maps, eps, min_samples).numpy(), found)
