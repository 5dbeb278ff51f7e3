"""HDBSCAN: scikit-learn's own labels, brought to pixels."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import HDBSCAN as SklearnHDBSCAN

from diffseg.segmenters.base import Scene
from diffseg.segmenters.hdbscan import HDBSCAN
from tests.helpers.attention import blocks, quarters, smooth
from tests.helpers.cuts import same_parts


@pytest.mark.parametrize("noise", ["own", "nearest"])
def test_hdbscan_is_sklearn_on_the_rows_of_the_attention(noise: Any) -> None:
    maps = smooth(14, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a default that will change
        expected = SklearnHDBSCAN(6, 4).fit_predict(maps.double().numpy())
    assert -1 in expected
    assert expected.max() >= 1  # the case has clusters and noise
    labels = HDBSCAN(6, 4, noise, "nearest")(Scene(aggregated=maps, size=(14, 14))).flatten().numpy()
    settled = expected != -1
    np.testing.assert_array_equal(labels[settled], expected[settled])
    if noise == "own":
        assert set(labels[~settled]) == {expected.max() + 1}
    else:
        means = np.stack([maps.numpy()[expected == k].mean(axis=0) for k in range(expected.max() + 1)])
        distances = np.linalg.norm(maps.numpy()[~settled, None] - means, axis=2)
        np.testing.assert_array_equal(labels[~settled], distances.argmin(axis=1))


def test_hdbscan_finds_the_quarters_and_may_find_nothing() -> None:
    scene = Scene(aggregated=blocks(8, 0.1), size=(8, 8))
    assert same_parts(HDBSCAN(5, 5)(scene).flatten(), quarters(8))
    assert HDBSCAN(40, 5)(scene).unique().tolist() == [0]  # no quarter has 40 maps: all is noise


def test_more_neighbours_than_maps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^min_samples: must be 1\.\.64"):
        HDBSCAN(min_samples=65).resolved(8, {})
