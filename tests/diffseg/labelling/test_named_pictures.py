"""Pictures and JSON of named segments."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as coco

from diffseg.labelling.named_pictures import coco_segments, draw, places
from diffseg.labelling.naming import Named
from diffseg.palette import palette
from diffseg.pictures import overlay


@pytest.fixture
def named() -> Named:
    labels = np.zeros((90, 120), np.int64)
    labels[20:70, 10:50] = 1
    labels[20:70, 80:110] = 1
    labels[80:, :30] = 2
    return Named(labels, ("wall", "window", "Bär"), ((0, 2), (1, 4), (3,)))


def test_run_lengths_give_the_masks_back(named: Named) -> None:
    stored = json.loads(json.dumps(coco_segments(named)))
    assert [each["name"] for each in stored] == ["wall", "window", "Bär"]
    assert [each["segments"] for each in stored] == [[0, 2], [1, 4], [3]]
    for number, each in enumerate(stored):
        expected = named.labels == number
        np.testing.assert_array_equal(coco.decode(each["segmentation"]), expected)
        assert each["area"] == expected.sum()
    assert stored[1]["bbox"] == [10, 20, 100, 50]


def test_the_picture_keeps_its_colours_between_the_names(named: Named) -> None:
    photo = np.full((90, 120, 3), 128, np.uint8)
    drawn = draw(photo, named)
    assert drawn.shape[1:] == (120, 3)
    assert drawn.shape[0] > 90
    changed = (drawn[:90] != overlay(photo, named.labels)).any(axis=2)
    assert changed[40:50, 10:50].any()  # both windows bear their name
    assert changed[40:50, 80:110].any()
    assert changed[80:, :30].any()
    assert changed.mean() < 0.2
    for colour in palette(3):  # the legend's swatches
        assert (drawn[90:] == colour).all(axis=2).any()


def test_names_stand_where_their_segment_is_widest(named: Named) -> None:
    window = named.labels == 1
    (left, top), (right, _) = places(window, 5)
    assert abs(left - 30) <= 5  # the larger one first; its largest circle touches left and right
    assert 38 <= top <= 52
    assert abs(right - 95) <= 1
    assert len(places(window, 18)) == 1  # the smaller one has no room
    assert len(places(window, 50)) == 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 4000), (4000, 3), (700, 900)])
def test_the_smallest_mask_has_a_place(shape: tuple[int, int]) -> None:
    for row in {0, shape[0] - 1}:
        mask = np.zeros(shape, bool)
        mask[row, shape[1] // 2] = True
        ((x, y),) = places(mask, 5)
        assert abs(x - shape[1] // 2) <= 16
        assert abs(y - row) <= 16
