"""Felzenszwalb and Huttenlocher's segmentation against scikit-image called directly."""

from __future__ import annotations

import numpy as np
import pytest

from diffseg.segmenters.felzenszwalb import Felzenszwalb
from tests.helpers.two_tone import scene, two_tone


def test_labels_equal_those_of_scikit_image() -> None:
    segmentation = pytest.importorskip("skimage.segmentation")
    image, inside = two_tone()
    expected = segmentation.felzenszwalb((image / 255).permute(1, 2, 0).numpy(), 50.0, 0.5, 20)
    labels = Felzenszwalb(50.0, 0.5, 20)(scene(image))
    np.testing.assert_array_equal(labels.numpy(), expected)
    assert len({*labels[inside].tolist()} & {*labels[~inside].tolist()}) == 0
    assert len(labels.unique()) > len(Felzenszwalb(5000.0, 0.5, 20)(scene(image)).unique())
