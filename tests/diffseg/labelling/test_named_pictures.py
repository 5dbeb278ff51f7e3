"""Pictures of named segments."""

from __future__ import annotations

import numpy as np
import pytest

from diffseg.labelling.named_pictures import draw, places
from diffseg.labelling.naming import Named
from diffseg.pictures import overlay, palette


@pytest.fixture
def named() -> Named:
    labels = np.zeros((90, 120), np.int64)
    labels[20:70, 10:50] = 1
    labels[20:70, 80:110] = 1
    labels[80:, :30] = 2
    return Named(labels, ("wall", "window", "Bär"), ((0, 2), (1, 4), (3,)))


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
