"""Cropping and resizing a picture for a backbone, against loops and against torch."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from diffseg.attention import AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.backbones.image import centre_crop, check_range, nearest, resize_image

SIDES = st.integers(1, 40)


def bilinear_by_loop(image: NDArray[np.uint8], size: int) -> NDArray[np.float64]:
    """Bilinear resizing from four neighbours, one output pixel at a time. (3, size, size)"""
    height, width = image.shape[:2]
    out = np.empty((3, size, size))
    for i in range(size):
        for j in range(size):
            y, x = (max((k + 0.5) * side / size - 0.5, 0.0) for k, side in ((i, height), (j, width)))
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            v, u = y - top, x - left
            above = (1 - u) * image[top, left] + u * image[top, right].astype(float)
            below = (1 - u) * image[bottom, left] + u * image[bottom, right].astype(float)
            out[:, i, j] = (1 - v) * above + v * below
    return out


@settings(deadline=None, max_examples=50)
@given(SIDES, SIDES)
def test_the_square_is_centred(height: int, width: int) -> None:
    cropped = centre_crop(np.stack(np.mgrid[:height, :width], axis=-1))
    side = min(height, width)
    assert cropped.shape == (side, side, 2)
    top, left = cropped[0, 0]
    bottom, right = height - 1 - cropped[-1, -1, 0], width - 1 - cropped[-1, -1, 1]
    # Of an odd number of surplus pixels, one more is cut at the end: the offset is (dim - side) // 2.
    assert bottom - top in (0, 1)
    assert right - left in (0, 1)
    assert min(top, left) == 0


@settings(deadline=None, max_examples=40)
@given(SIDES, SIDES, st.sampled_from([1, 2, 8, 16, 32]), st.integers(0, 5))
def test_resizing_equals_a_loop(height: int, width: int, size: int, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = resize_image(picture, size)
    assert image.dtype == torch.float32
    assert 0 <= float(image.min()) <= float(image.max()) <= 255
    np.testing.assert_allclose(image.numpy(), bilinear_by_loop(picture, size), atol=1e-3)


def test_shrinking_does_not_antialias() -> None:
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, 1::4] = 255
    # Output pixel j lies at 4j + 1.5, between the stripe at 4j + 1 and black; an antialiasing filter would give 255/4.
    assert resize_image(stripes, 2).unique().tolist() == [127.5]


def test_white_stays_within_the_range() -> None:
    # At this pair of sizes the rounded weights of interpolate() sum to a little more than 1.
    white = np.full((375, 375, 3), 255, np.uint8)
    assert F.interpolate(torch.full((1, 3, 375, 375), 255.0), (7, 7), mode="bilinear").max() > 255
    assert resize_image(white, 7).max() == 255


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (torch.rand(1, 3, 4, 4), r"but all are in \[0, 1\]: multiply by 255"),
        (256 * torch.ones(1, 3, 4, 4), "got values from 256 to 256"),
        (torch.linspace(-1, 1, 48), "got values from -1 to 1"),
        (torch.tensor([1.0, torch.nan]), "got values from nan to nan"),
    ],
)
def test_pixels_out_of_range_are_refused(images: Tensor, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_range(images)


def test_a_backbone_refuses_a_picture_scaled_to_one() -> None:
    class Never(AttentionModel):
        def attend_encoded(self, encoded: Tensor, spec: object) -> list[AttentionMaps]:
            raise AssertionError("reached")

    with pytest.raises(ValueError, match="images: must be in"):
        Never().attend(torch.rand(1, 3, 4, 4))


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(1, 700))
def test_labels_follow_the_exact_nearest_rule(length: int, target: int) -> None:
    check_nearest(length, target)


@pytest.mark.parametrize(("length", "target"), [(260, 518), (640, 448), (300, 518), (1, 5), (5, 1)])
def test_labels_follow_the_exact_nearest_rule_where_float32_does_not(length: int, target: int) -> None:
    check_nearest(length, target)


def check_nearest(length: int, target: int) -> None:
    """In fractions: the label whose pixel contains the centre of the new pixel."""
    expected = [math.floor((index + Fraction(1, 2)) * length / target) for index in range(target)]
    labels = np.arange(length, dtype=np.uint16)
    assert nearest(labels[None], (1, target))[0].tolist() == expected
    assert nearest(labels[:, None], (target, 2))[:, 1].tolist() == expected
