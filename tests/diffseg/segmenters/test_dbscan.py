"""DBSCAN over the attention maps: its labels, and what becomes of noise."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import DBSCAN as SklearnDBSCAN

from diffseg import dbscan
from diffseg.segmenters.base import Scene
from diffseg.segmenters.dbscan import DBSCAN
from tests.helpers.attention import blocks


def test_dbscan_own_noise_is_the_last_label() -> None:
    maps = blocks(8, 1.0)
    found = SklearnDBSCAN(eps=0.26, min_samples=4).fit(maps.numpy()).labels_
    assert found.min() == -1  # the case has noise
    assert found.max() >= 1
    expected = np.where(found == -1, found.max() + 1, found).reshape(8, 8)
    labels = dbscan(maps, 0.26, 4, size=8, upsample="nearest")
    np.testing.assert_array_equal(labels.numpy(), expected)


def test_dbscan_nearest_noise_joins_the_nearest_mean() -> None:
    maps = blocks(8, 1.0)
    found = SklearnDBSCAN(eps=0.26, min_samples=4).fit(maps.numpy()).labels_
    means = np.stack([maps.numpy()[found == k].mean(axis=0) for k in range(found.max() + 1)])
    expected = found.copy()
    for index in np.flatnonzero(found == -1):
        expected[index] = np.linalg.norm(maps.numpy()[index] - means, axis=1).argmin()
    labels = dbscan(maps, 0.26, 4, noise="nearest", size=8, upsample="nearest")
    np.testing.assert_array_equal(labels.numpy().ravel(), expected)


def test_dbscan_all_noise_is_one_segment() -> None:
    for noise in ("own", "nearest"):
        assert dbscan(torch.eye(16), 1e-3, 5, noise=noise, size=8).unique().tolist() == [0]  # type: ignore[arg-type]


def test_the_segmenter_calls_the_function() -> None:
    maps = blocks(8, 1.0)
    tuned = DBSCAN(noise="nearest").resolved(8, {"eps": 0.26, "min_samples": 4})
    assert torch.equal(tuned(Scene(aggregated=maps, size=(20, 20))), dbscan(maps, 0.26, 4, "nearest", 20))
