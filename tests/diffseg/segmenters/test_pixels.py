"""Segmenters that label pixels: against scikit-image called directly, and on a picture of two colours."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from diffseg.segmenters.base import Scene
from diffseg.segmenters.felzenszwalb import Felzenszwalb
from diffseg.segmenters.kmeans_rgbxy import KMeansRGBXY
from diffseg.segmenters.pixels import PixelSegmenter, picture_of
from diffseg.segmenters.slic import SLIC
from diffseg.segmenters.watershed import Watershed
from tests.helpers.attention import blocks, quarters
from tests.helpers.cuts import same_parts
from tests.helpers.two_tone import scene, two_tone


@pytest.mark.parametrize("segmenter", [SLIC(12, 5.0), Felzenszwalb(50.0, 0.5, 20)])
def test_labels_equal_those_of_scikit_image(segmenter: PixelSegmenter) -> None:
    segmentation = pytest.importorskip("skimage.segmentation")
    image, inside = two_tone()
    pixels = (image / 255).permute(1, 2, 0).numpy()
    if isinstance(segmenter, SLIC):
        expected = segmentation.slic(pixels, 12, 5.0, start_label=0)
    else:
        expected = segmentation.felzenszwalb(pixels, 50.0, 0.5, 20)
    labels = segmenter(scene(image))
    np.testing.assert_array_equal(labels.numpy(), expected)
    mixed = [label for label in labels.unique() if 0.1 < float(inside[labels == label].float().mean()) < 0.9]
    assert not mixed  # segments keep to the square's border


def test_kmeans_finds_the_square_by_colour_and_the_quarters_by_place() -> None:
    image, inside = two_tone()
    labels = KMeansRGBXY(2, position=0)(scene(image))
    assert same_parts(labels.flatten(), inside.flatten().long())
    assert same_parts(KMeansRGBXY(4, position=1e4)(scene(image)).flatten(), quarters(40))
    large = KMeansRGBXY(2, position=0)(scene(image, size=80))
    assert (large.shape, large.dtype) == ((80, 80), torch.int64)
    assert torch.equal(large, labels.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1))


def test_k_means_of_many_pixels_starts_as_from_float64() -> None:
    """In float32, the starts in a picture of this size depend on the version of scikit-learn."""
    image = 255 * torch.rand(3, 448, 448, generator=torch.Generator().manual_seed(0))
    colours = picture_of(scene(image)).reshape(-1, 3).astype(np.float64)
    points = np.concatenate([colours, np.zeros((len(colours), 2))], axis=1)
    expected = KMeans(6, n_init=1, random_state=0).fit_predict(points)
    labels = KMeansRGBXY(6, position=0)(scene(image, size=448))
    np.testing.assert_array_equal(labels.flatten(), expected)


def test_the_quarters_are_the_basins_of_the_watershed() -> None:
    labels = Watershed(0.5)(Scene(aggregated=blocks(8, 0.1), size=(64, 64)))
    assert (labels.dtype, labels.shape, len(labels.unique())) == (torch.int64, (64, 64), 4)
    agree = (labels.flatten()[:, None] * 4 + quarters(64)[:, None]).flatten().unique(return_counts=True)[1]
    assert agree.sort(descending=True).values[:4].sum() > 0.85 * 64**2
    assert len(Watershed(100.0)(Scene(aggregated=blocks(8, 0.1), size=(64, 64))).unique()) == 1
    assert len(Watershed()(Scene(aggregated=torch.full((16, 16), 1 / 16), size=(8, 8))).unique()) == 1


def test_a_missing_package_is_named_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    for segmenter, name in ((Watershed(), "watershed"), (SLIC(), "slic")):
        with pytest.raises(
            ValueError, match=rf"^{name}: the package skimage is not installed: pip install scikit-image"
        ):
            segmenter.resolved(32, {})


def test_a_scene_without_a_picture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^image: the scene has no picture"):
        KMeansRGBXY()(scene())


def test_the_picture_has_colours_from_0_to_1() -> None:
    image = torch.tensor([[[0.0, 255.0]], [[51.0, 0.0]], [[0.0, 102.0]]])
    np.testing.assert_allclose(picture_of(Scene(size=(2, 2), image=image)), [[[0, 0.2, 0], [1, 0, 0.4]]], atol=1e-7)
