"""Crop and resize, against loops and against torch's own choices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional as F

from datasets.base import VOID, DatasetError, Sample
from datasets.transforms import centre_crop, classes_in_square, resize_image, resize_label, square

SIDES = st.integers(1, 40)


def random_sample(height: int, width: int, seed: int = 0) -> Sample:
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Sample("x", image, generator.integers(VOID, 27, (height, width), dtype=np.int16))


def nearest_by_loop(label: NDArray[np.int16], size: int) -> NDArray[np.int16]:
    """The label under the centre of every output pixel, in exact integer arithmetic."""
    height, width = label.shape
    out = np.empty((size, size), np.int16)
    for i in range(size):
        for j in range(size):
            out[i, j] = label[(2 * i + 1) * height // (2 * size), (2 * j + 1) * width // (2 * size)]
    return out


def bilinear_by_loop(image: NDArray[np.uint8], size: int) -> NDArray[np.float64]:
    side = image.shape[0]
    out = np.empty((3, size, size))
    for i in range(size):
        for j in range(size):
            y, x = (max((k + 0.5) * side / size - 0.5, 0.0) for k in (i, j))
            top, left = int(y), int(x)
            bottom, right = min(top + 1, side - 1), min(left + 1, side - 1)
            v, u = y - top, x - left
            above = (1 - u) * image[top, left] + u * image[top, right].astype(float)
            below = (1 - u) * image[bottom, left] + u * image[bottom, right].astype(float)
            out[:, i, j] = (1 - v) * above + v * below
    return out


@settings(deadline=None, max_examples=50)
@given(SIDES, SIDES)
def test_crop_is_the_centred_square(height: int, width: int) -> None:
    rows, columns = np.mgrid[:height, :width]
    cropped = centre_crop(np.stack([rows, columns], axis=-1))
    side = min(height, width)
    assert cropped.shape == (side, side, 2)
    top, left = cropped[0, 0]
    bottom, right = height - 1 - cropped[-1, -1, 0], width - 1 - cropped[-1, -1, 1]
    # An odd pixel too many is cut at the end, so that the offset is (dim - side) // 2.
    assert bottom - top in (0, 1)
    assert right - left in (0, 1)
    assert min(top, left) == 0


@settings(deadline=None, max_examples=40)
@given(SIDES, SIDES, st.sampled_from([1, 2, 8, 16, 32]), st.integers(0, 5))
def test_square_against_loops(height: int, width: int, size: int, seed: int) -> None:
    sample = random_sample(height, width, seed)
    sample.label[sample.label == VOID] = 0  # a square of a few pixels could be void altogether
    image, label = square(sample, size)
    assert image.shape == (3, size, size)
    assert image.dtype == torch.float32
    assert label.dtype == torch.int16
    assert 0 <= float(image.min()) <= float(image.max()) <= 255
    np.testing.assert_array_equal(label.numpy(), nearest_by_loop(centre_crop(sample.label), size))
    np.testing.assert_allclose(image.numpy(), bilinear_by_loop(centre_crop(sample.image), size), atol=1e-3)


@pytest.mark.parametrize("size", [512, 320, 448])
@pytest.mark.parametrize("side", [333, 375, 427, 480, 640, 1024])
def test_label_at_the_sizes_of_the_benchmark(side: int, size: int) -> None:
    """float32 coordinates of "nearest-exact" agree with exact ones where the benchmark uses them."""
    rows = np.repeat(np.arange(side, dtype=np.int16)[:, None], 2, axis=1)
    exact = (2 * np.arange(size) + 1) * side // (2 * size)
    np.testing.assert_array_equal(resize_label(rows, size)[:, 0].numpy(), exact)
    np.testing.assert_array_equal(resize_label(rows.T.copy(), size)[0].numpy(), exact)


def test_plain_nearest_would_be_another_label_map() -> None:
    label = random_sample(480, 480).label
    plain = F.interpolate(torch.from_numpy(label)[None, None].float(), (320, 320), mode="nearest")[0, 0]
    ours = resize_label(label, 320)
    assert (ours != plain).float().mean() > 0.1
    np.testing.assert_array_equal(ours.numpy(), nearest_by_loop(label, 320))


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


def test_image_and_label_stay_aligned() -> None:
    """A picture painted with its own labels: where the image shows one value only, the label is that value."""
    label = np.repeat(np.repeat(np.arange(24, dtype=np.int16).reshape(4, 6), 10, axis=0), 13, axis=1)
    image, resized = square(Sample("x", np.repeat(label[..., None], 3, axis=-1).astype(np.uint8), label), 32)
    flat = image[0] == image[0].round()
    assert flat.float().mean() > 0.3
    assert torch.equal(image[0][flat].to(torch.int16), resized[flat])


def test_label_size_is_independent_of_the_image() -> None:
    image, label = square(random_sample(30, 20), 16, label_size=24)
    assert image.shape == (3, 16, 16)
    assert label.shape == (24, 24)


def test_identity_and_void_survive() -> None:
    sample = random_sample(20, 20)
    image, label = square(sample, 20)
    np.testing.assert_array_equal(label.numpy(), sample.label)
    np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), sample.image)
    assert (label == VOID).any()


def test_square_without_a_label_is_an_error() -> None:
    """Labels outside the centred square do not help."""
    sample = random_sample(20, 40)
    sample.label[:, 10:30] = VOID
    assert (sample.label != VOID).any()
    with pytest.raises(DatasetError, match=r"^x: the centred square"):
        square(sample, 16)
    sample.label[10, 20] = 5
    assert (square(sample, 20)[1] == 5).sum() == 1


def test_classes_are_counted_in_the_square_before_resizing() -> None:
    label = np.zeros((9, 21), np.int16)
    label[:, :6] = 5  # outside of the square
    label[0, 6] = 7  # one pixel, which a side of 3 does not sample
    label[8, 8] = VOID
    sample = Sample("x", np.zeros((9, 21, 3), np.uint8), label)
    assert classes_in_square(sample) == 2
    assert len(square(sample, 3)[1].unique()) == 1
