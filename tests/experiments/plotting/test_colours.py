"""The colours of segments are those of their classes."""

from __future__ import annotations

import numpy as np

from datasets.base import VOID
from diffseg.pictures import palette
from eval.matching import contingency
from experiments.plotting.colours import GREYS, channels_last, class_colours, paint


def test_a_matched_segment_has_the_colour_of_its_class() -> None:
    labels = np.array([[0, 0, 4, 4], [0, 0, 7, 7]])
    truth = np.array([[2, 2, 1, 1], [2, 2, 1, VOID]])
    painted = class_colours(labels, contingency(labels, truth, 3))
    assert painted.tolist() == [[2, 2, 1, 1], [2, 2, 10, 10]]  # 7 has no class: its colour is 3 + 7
    # The background takes segment 7, too.
    assert class_colours(labels, contingency(labels, truth, 3), background=1).tolist() == [[2, 2, 1, 1], [2, 2, 1, 1]]


def test_unmatched_segments_are_hatched_and_pixels_in_no_segment_stay_void() -> None:
    labels = np.zeros((20, 20), np.int64)
    labels[:, 5:], labels[0, 0] = 4, -1
    numbers = class_colours(labels, np.array([[75, 0, 0, 0, 0]]))
    assert numbers[0, 0] == VOID
    painted = paint(numbers, 1)
    assert painted[1, 0].tolist() == palette(1)[0].tolist()
    assert {tuple(pixel) for pixel in painted[:, 5:].reshape(-1, 3).tolist()} == {(grey,) * 3 for grey in GREYS}


def test_channels_become_pixels() -> None:
    channels = np.array([[[0.4, 254.6]], [[1.0, 2.0]], [[255.0, 0.0]]], np.float32)
    pixels = channels_last(channels)
    assert pixels.dtype == np.uint8
    assert pixels.tolist() == [[[0, 1, 255], [255, 2, 0]]]
