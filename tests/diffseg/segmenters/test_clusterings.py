"""Spectral clustering and HDBSCAN: scikit-learn's own labels, brought to pixels."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cluster import HDBSCAN as SklearnHDBSCAN
from sklearn.cluster import SpectralClustering

from diffseg.masks import Upsample, cluster_means, labels_from_proposals, upsample_nearest
from diffseg.segmenters.base import Scene
from diffseg.segmenters.hdbscan import HDBSCAN
from diffseg.segmenters.spectral import Spectral
from tests.helpers.attention import blocks, smooth
from tests.helpers.cuts import same_parts


def quarters(side: int) -> torch.Tensor:
    half = torch.arange(side) * 2 // side
    return (2 * half[:, None] + half).flatten()


@pytest.mark.parametrize("upsample", ["soft", "nearest"])
def test_spectral_finds_the_quarters(upsample: Upsample) -> None:
    maps = blocks(8, 1.0)
    labels = Spectral(4, upsample=upsample)(Scene(aggregated=maps, size=20))
    if upsample == "nearest":
        expected = upsample_nearest(quarters(8).view(8, 8), 20)
    else:
        expected = labels_from_proposals(cluster_means(maps, quarters(8), 4), 20)
    assert same_parts(labels.flatten(), expected.flatten())


def test_spectral_is_sklearn_on_the_symmetrised_attention() -> None:
    maps = smooth(12, 2)
    affinity = (maps + maps.T).numpy() / 2
    expected = SpectralClustering(5, affinity="precomputed", random_state=3).fit_predict(affinity)
    labels = Spectral(5, seed=3, upsample="nearest")(Scene(aggregated=maps, size=12))
    np.testing.assert_array_equal(labels.flatten().numpy(), expected)


@pytest.mark.parametrize("noise", ["own", "nearest"])
def test_hdbscan_is_sklearn_on_the_rows_of_the_attention(noise: Any) -> None:
    maps = smooth(14, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a default that will change
        expected = SklearnHDBSCAN(6, 4).fit_predict(maps.double().numpy())
    assert -1 in expected
    assert expected.max() >= 1  # the case has clusters and noise
    labels = HDBSCAN(6, 4, noise, "nearest")(Scene(aggregated=maps, size=14)).flatten().numpy()
    settled = expected != -1
    np.testing.assert_array_equal(labels[settled], expected[settled])
    if noise == "own":
        assert set(labels[~settled]) == {expected.max() + 1}
    else:
        means = np.stack([maps.numpy()[expected == k].mean(axis=0) for k in range(expected.max() + 1)])
        distances = np.linalg.norm(maps.numpy()[~settled, None] - means, axis=2)
        np.testing.assert_array_equal(labels[~settled], distances.argmin(axis=1))


def test_hdbscan_finds_the_quarters_and_may_find_nothing() -> None:
    scene = Scene(aggregated=blocks(8, 0.1), size=8)
    assert same_parts(HDBSCAN(5, 5)(scene).flatten(), quarters(8))
    assert HDBSCAN(40, 5)(scene).unique().tolist() == [0]  # no quarter has 40 maps: all is noise


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Spectral(0), "^clusters: must be at least 1"),
        (lambda: Spectral(64).resolved(8, {}), r"^clusters: must be 1\.\.63"),
        (lambda: Spectral(None).resolved(8, {}), "^clusters: no value is tuned"),
        (lambda: Spectral(seed=-1), "^seed: must be"),
        (lambda: HDBSCAN(min_cluster_size=1), "^min_cluster_size: must be at least 2"),
        (lambda: HDBSCAN(min_samples=0), "^min_samples: must be at least 1"),
        (lambda: HDBSCAN(min_samples=65).resolved(8, {}), r"^min_samples: must be 1\.\.64"),
    ],
)
def test_values_out_of_range_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_clusters_are_those_of_the_data_set_if_not_given() -> None:
    assert Spectral(None).resolved(8, {"clusters": 7}).clusters == 7
