"""The colours of labels."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from diffseg.palette import COLOURS, palette
from diffseg.pictures import VOID_COLOUR


def test_the_palette_is_fixed_and_a_longer_one_begins_with_a_shorter_one() -> None:
    np.testing.assert_array_equal(palette(300)[:20], palette(20))
    np.testing.assert_array_equal(palette(300)[COLOURS:], palette(300 - COLOURS))
    assert palette(0).shape == (0, 3)
    # Old label maps and figures keep their colours.
    assert palette(4).tolist() == [[51, 141, 223], [253, 190, 69], [141, 28, 17], [255, 79, 178]]


def test_a_caller_cannot_change_the_palette() -> None:
    palette(3)[:] = 0
    assert palette(3).any()


@pytest.mark.parametrize(("count", "least"), [(8, 23), (16, 19), (27, 14), (32, 12), (COLOURS, 1.5)])
def test_colours_differ_visibly(count: int, least: float) -> None:
    colours = np.vstack([palette(count), [VOID_COLOUR, (255, 255, 255), (128, 128, 128)]])
    lab = rgb2lab(colours[None] / 255)[0]
    difference = deltaE_ciede2000(lab[:, None], lab[None])  # 1: just noticeable
    assert difference[~np.eye(len(colours), dtype=bool)].min() > least
