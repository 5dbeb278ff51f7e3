"""K-means of colour and place."""

from __future__ import annotations

import pytest
import torch

from diffseg.segmenters.kmeans_rgbxy import KMeansRGBXY
from tests.helpers.cuts import same_parts
from tests.helpers.two_tone import scene, two_tone


def test_kmeans_of_the_colour_finds_the_square() -> None:
    image, inside = two_tone()
    labels = KMeansRGBXY(2, position=0)(scene(image))
    assert same_parts(labels.flatten(), inside.flatten().long())
    assert labels.dtype == torch.int64


def test_kmeans_of_the_position_cuts_the_picture() -> None:
    labels = KMeansRGBXY(4, position=1e4)(scene(two_tone()[0]))
    quarter = torch.arange(40) // 20
    assert same_parts(labels.flatten(), (2 * quarter[:, None] + quarter).flatten())


def test_labels_have_the_scored_size() -> None:
    image, _ = two_tone()
    small = KMeansRGBXY(2, position=0)(scene(image))
    large = KMeansRGBXY(2, position=0)(scene(image, size=80))
    assert torch.equal(large, small.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1))


def test_a_scene_without_a_picture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^image: the scene has no picture"):
        KMeansRGBXY()(scene())
