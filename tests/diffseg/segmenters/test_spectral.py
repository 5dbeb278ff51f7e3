"""Spectral clustering: scikit-learn's own labels, brought to pixels."""

from __future__ import annotations

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
