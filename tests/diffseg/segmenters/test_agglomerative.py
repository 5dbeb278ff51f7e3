"""Average linkage against joining by hand, one pair of clusters after another."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from diffseg.segmenters.agglomerative import PUBLISHED_TAU, Agglomerative, agglomerate
from diffseg.segmenters.base import Scene
from tests.helpers.attention import regions
from tests.helpers.cuts import naive_linkage, same_parts


@pytest.mark.parametrize("tau", [-0.2, 0.2, 0.5, 0.9])
def test_clusters_equal_joining_by_hand(tau: float) -> None:
    points = F.normalize(regions(5, 0.8)[0], dim=1)
    expected = naive_linkage(-points @ points.T, -tau)
    labels = agglomerate(points, tau)
    assert same_parts(labels, expected)
    assert labels.unique().tolist() == list(range(len(expected.unique())))


def test_stripes_are_found_in_attention() -> None:
    features, stripe = regions(8, 0.2)
    attention = Agglomerative(PUBLISHED_TAU, input="attention")(Scene(aggregated=features.clamp(min=0), size=(8, 8)))
    assert same_parts(attention.flatten(), stripe)


def test_one_location_is_one_segment() -> None:
    labels = Agglomerative(0.5)(Scene(aggregated=torch.ones(1, 1), size=(4, 4), features=torch.ones(1, 3)))
    assert labels.unique().tolist() == [0]


def test_tau_is_that_of_the_backbone_or_the_published_one() -> None:
    assert Agglomerative().resolved(32, {"tau": 0.2}).tau == 0.2
    assert Agglomerative().resolved(32, {}).tau == PUBLISHED_TAU
    with pytest.raises(ValueError, match=r"^tau: must be at (least|most)"):
        Agglomerative(1.5)
