"""SLIC against scikit-image called directly."""

from __future__ import annotations

import numpy as np
import pytest

from diffseg.segmenters.slic import SLIC
from tests.helpers.two_tone import scene, two_tone


def test_slic_equals_scikit_image() -> None:
    segmentation = pytest.importorskip("skimage.segmentation")
    image, inside = two_tone()
    expected = segmentation.slic((image / 255).permute(1, 2, 0).numpy(), 12, 5.0, start_label=0)
    labels = SLIC(12, 5.0)(scene(image))
    np.testing.assert_array_equal(labels.numpy(), expected)
    mixed = [label for label in labels.unique() if 0.1 < float(inside[labels == label].float().mean()) < 0.9]
    assert not mixed  # superpixels keep to the square's border
