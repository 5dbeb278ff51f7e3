"""The scored square of picture and ground truth, against loops and against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from eval.squares import classes_in_square, resize_label, square_image, square_label
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional as F

from datasets.base import VOID, DatasetError, Picture
from diffseg.backbones.image import centre_crop

SIDES = st.integers(1, 40)


def random_picture(height: int, width: int, seed: int = 0) -> Picture:
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Picture("x", image, generator.integers(VOID, 27, (height, width), dtype=np.int16))


def nearest_by_loop(label: NDArray[np.int16], size: int) -> NDArray[np.int16]:
    """The label under the centre of every output pixel, in exact integer arithmetic."""
    height, width = label.shape
    out = np.empty((size, size), np.int16)
    for i in range(size):
        for j in range(size):
            out[i, j] = label[(2 * i + 1) * height // (2 * size), (2 * j + 1) * width // (2 * size)]
    return out


@settings(deadline=None, max_examples=40)
@given(SIDES, SIDES, st.sampled_from([1, 2, 8, 16, 32]), st.integers(0, 5))
def test_labels_equal_a_loop(height: int, width: int, size: int, seed: int) -> None:
    picture = random_picture(height, width, seed)
    picture.label[picture.label == VOID] = 0  # a square of a few pixels could be void altogether
    label = square_label(picture, size)
    assert label.dtype == torch.int16
    np.testing.assert_array_equal(label.numpy(), nearest_by_loop(centre_crop(picture.label), size))


@pytest.mark.parametrize("size", [512, 320, 448])
@pytest.mark.parametrize("side", [333, 375, 427, 480, 640, 1024])
def test_labels_are_exact_at_the_sizes_of_the_benchmark(side: int, size: int) -> None:
    """float32 coordinates of "nearest-exact" agree with exact ones where the benchmark uses them."""
    rows = np.repeat(np.arange(side, dtype=np.int16)[:, None], 2, axis=1)
    exact = (2 * np.arange(size) + 1) * side // (2 * size)
    np.testing.assert_array_equal(resize_label(rows, size)[:, 0].numpy(), exact)
    np.testing.assert_array_equal(resize_label(rows.T.copy(), size)[0].numpy(), exact)


def test_plain_nearest_would_be_another_label_map() -> None:
    label = random_picture(480, 480).label
    plain = F.interpolate(torch.from_numpy(label)[None, None].float(), (320, 320), mode="nearest")[0, 0]
    ours = resize_label(label, 320)
    assert (ours != plain).float().mean() > 0.1
    np.testing.assert_array_equal(ours.numpy(), nearest_by_loop(label, 320))


def test_image_and_label_stay_aligned() -> None:
    """The picture is painted with its own labels, so a pixel that is no mixture of two shows its label."""
    label = np.repeat(np.repeat(np.arange(24, dtype=np.int16).reshape(4, 6), 10, axis=0), 13, axis=1)
    picture = Picture("x", np.repeat(label[..., None], 3, axis=-1).astype(np.uint8), label)
    image, resized = square_image(picture, 32), square_label(picture, 32)
    flat = image[0] == image[0].round()
    assert flat.float().mean() > 0.3
    assert torch.equal(image[0][flat].to(torch.int16), resized[flat])


def test_a_square_of_the_same_size_stays_as_it_is_with_its_void() -> None:
    picture = random_picture(20, 20)
    label = square_label(picture, 20)
    np.testing.assert_array_equal(label.numpy(), picture.label)
    np.testing.assert_array_equal(square_image(picture, 20).permute(1, 2, 0).numpy(), picture.image)
    assert (label == VOID).any()


def test_square_without_a_label_is_an_error() -> None:
    """Labels outside the centred square do not help."""
    picture = random_picture(20, 40)
    picture.label[:, 10:30] = VOID
    assert (picture.label != VOID).any()
    with pytest.raises(DatasetError, match=r"^x: the centred square"):
        square_label(picture, 16)
    picture.label[10, 20] = 5
    assert (square_label(picture, 20) == 5).sum() == 1


def test_classes_are_counted_in_the_square_before_resizing() -> None:
    label = np.zeros((9, 21), np.int16)
    label[:, :6] = 5  # outside of the square
    label[0, 6] = 7  # one pixel, which a side of 3 does not sample
    label[8, 8] = VOID
    picture = Picture("x", np.zeros((9, 21, 3), np.uint8), label)
    assert classes_in_square(picture) == 2
    assert len(square_label(picture, 3).unique()) == 1
