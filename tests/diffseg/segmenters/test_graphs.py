"""Segmenters on attention in place of features, and on features in place of attention."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from diffseg.masks import cluster_means, labels_from_proposals, upsample_nearest
from diffseg.segmenters.agglomerative import PUBLISHED_TAU, Agglomerative
from diffseg.segmenters.autosc import AutoSC
from diffseg.segmenters.base import Refinable, Scene
from diffseg.segmenters.diffcut import DiffCut
from diffseg.segmenters.diffseg import DiffSeg
from diffseg.segmenters.graphs import ALPHA, affinity_of, assign_pixels, walk_of
from diffseg.segmenters.kmeans import KMeans
from diffseg.segmenters.ncut import NCut
from diffseg.segmenters.spectral import Spectral
from tests.helpers.attention import blocks, quarters, regions, smooth
from tests.helpers.cuts import same_parts


def test_affinity_follows_its_definition() -> None:
    features = F.normalize(regions(4, 0.5)[0], dim=1)
    affinity = affinity_of(features, 2)
    cosines = [[float(a @ b) for b in features] for a in features]
    low, high = min(map(min, cosines)), max(map(max, cosines))
    assert float(affinity[3, 9]) == pytest.approx(((cosines[3][9] - low) / (high - low)) ** 2, rel=1e-4)
    assert (float(affinity.min()), float(affinity.max())) == (0, 1)


def test_a_walk_on_features_goes_where_they_are_alike() -> None:
    features, stripe = regions(8, 0.3)
    scene = Scene(aggregated=blocks(4), size=(8, 8), features=features)
    walk = walk_of(scene, "features")
    torch.testing.assert_close(walk.sum(dim=1), torch.ones(64))
    affinity = affinity_of(F.normalize(features, dim=1), ALPHA)
    torch.testing.assert_close(walk[5], affinity[5] / sum(affinity[5].tolist()))
    same = (stripe[:, None] == stripe).float()
    assert float((walk * same).sum(dim=1).min()) > 0.9
    assert torch.equal(walk_of(scene, "attention"), scene.aggregated)


@pytest.mark.parametrize(
    "segmenter",
    [
        DiffSeg(0.5, anchors=4, grid="even", input="features"),
        NCut(0.5, input="features"),
        NCut(0.5, input="features", graph="cosine"),
        Spectral(3, input="features"),
        KMeans(3, input="features"),
        Agglomerative(PUBLISHED_TAU),
        AutoSC("paper"),
        AutoSC("official"),
    ],
    ids=lambda segmenter: type(segmenter).__name__,
)
def test_stripes_are_found_in_features(segmenter: Refinable) -> None:
    features, stripe = regions(8, 0.2)
    labels = segmenter(Scene(aggregated=smooth(16, 0), size=(8, 8), features=features))
    assert same_parts(labels.flatten(), stripe)


@pytest.mark.parametrize("segmenter", [Agglomerative(PUBLISHED_TAU), AutoSC(), DiffCut(0.5)])
def test_features_that_do_not_differ_are_one_segment(segmenter: Refinable) -> None:
    labels = segmenter(Scene(aggregated=blocks(8), size=(16, 16), features=torch.ones(64, 5)))
    assert labels.unique().tolist() == [0]


@pytest.mark.parametrize(
    "segmenter",
    [
        *(NCut(0.7), NCut(0.7, upsample="nearest"), NCut(0.7, power=2)),
        *(Spectral(4), Spectral(4, upsample="nearest")),
    ],
)
def test_quarters_are_found_in_attention(segmenter: NCut | Spectral) -> None:
    maps, quarter = blocks(8, 0.5), quarters(8)
    labels = segmenter(Scene(aggregated=maps, size=(20, 20)))
    if segmenter.upsample == "soft":
        expected = labels_from_proposals(cluster_means(maps, quarter), 20)
    else:
        expected = upsample_nearest(quarter.view(8, 8), 20)
    assert same_parts(labels.flatten(), expected.flatten())
    assert (labels.shape, labels.dtype) == ((20, 20), torch.int64)


def test_a_threshold_for_attention_does_not_suit_features() -> None:
    with pytest.raises(ValueError, match=r"^tau: must be given with input=features"):
        DiffSeg(input="features").resolved(16, {"tau": 0.3})


def test_rows_with_different_inputs_share_no_results() -> None:
    features, _ = regions(8, 0.3)
    scene = Scene(aggregated=smooth(16, 0), size=(8, 8), features=features)
    both = [DiffSeg(0.5, 4, grid="even", input=read) for read in ("attention", "features", "attention")]  # type: ignore[arg-type]
    first, other, again = (segmenter(scene) for segmenter in both)
    assert torch.equal(first, again)
    assert not same_parts(first.flatten(), other.flatten())


def test_pixels_take_the_segment_of_their_cell() -> None:
    points = F.normalize(torch.eye(3).repeat_interleave(3, 0), dim=1)
    labels = torch.arange(3).repeat_interleave(3)
    scene = Scene(aggregated=blocks(3), size=(9, 9))
    assert torch.equal(assign_pixels(points, labels, scene, 3), upsample_nearest(labels.view(3, 3), 9))


@pytest.mark.parametrize("segmenter", [NCut(input="features"), KMeans(input="features")])
def test_a_backbone_without_features_is_an_error(segmenter: Refinable) -> None:
    with pytest.raises(ValueError, match=r"^features: this backbone computes no features"):
        segmenter(Scene(aggregated=blocks(4), size=(8, 8)))
