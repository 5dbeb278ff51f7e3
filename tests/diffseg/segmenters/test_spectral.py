"""Spectral clustering: scikit-learn's own labels, brought to pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.cluster import SpectralClustering

from diffseg.masks import Upsample, cluster_means, labels_from_proposals, upsample_nearest
from diffseg.segmenters.base import Scene
from diffseg.segmenters.spectral import Spectral
from tests.helpers.attention import blocks, quarters, smooth
from tests.helpers.cuts import same_parts


@pytest.mark.parametrize("upsample", ["soft", "nearest"])
def test_spectral_finds_the_quarters(upsample: Upsample) -> None:
    maps = blocks(8, 1.0)
    labels = Spectral(4, upsample=upsample)(Scene(aggregated=maps, size=(20, 20)))
    if upsample == "nearest":
        expected = upsample_nearest(quarters(8).view(8, 8), 20)
    else:
        expected = labels_from_proposals(cluster_means(maps, quarters(8), 4), 20)
    assert same_parts(labels.flatten(), expected.flatten())


def test_spectral_is_sklearn_on_the_symmetrised_attention() -> None:
    maps = smooth(12, 2)
    affinity = (maps + maps.T).numpy() / 2
    expected = SpectralClustering(5, affinity="precomputed", random_state=3).fit_predict(affinity)
    labels = Spectral(5, seed=3, upsample="nearest")(Scene(aggregated=maps, size=(12, 12)))
    np.testing.assert_array_equal(labels.flatten().numpy(), expected)


def test_clusters_are_those_of_the_data_set_if_not_given() -> None:
    assert Spectral(None).resolved(8, {"clusters": 7}).clusters == 7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Spectral(64).resolved(8, {}), r"^clusters: must be 1\.\.63"),
        (lambda: Spectral(None).resolved(8, {}), "^clusters: no value is tuned"),
    ],
)
def test_values_out_of_range_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
