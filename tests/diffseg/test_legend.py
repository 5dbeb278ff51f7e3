"""The legend: a swatch for each entry, in order, in as many lines as needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffseg.legend import legend

COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
ENTRIES = list(zip(("road", "sky", "a rather long name", "tree"), COLOURS, strict=True))


def swatch(sheet: NDArray[np.uint8], colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Top, left, height and width of the area of that colour. Checks that it is filled."""
    area = (sheet == colour).all(axis=2)
    rows, columns = np.nonzero(area)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert area.sum() == height * width
    return rows.min(), columns.min(), height, width


def test_swatches_stand_in_one_line_if_it_is_wide_enough() -> None:
    sheet = legend(ENTRIES, width=900, font_size=20)
    assert (sheet.shape[1], sheet.dtype) == (900, np.uint8)
    tops, lefts, heights, widths = zip(*(swatch(sheet, colour) for colour in COLOURS), strict=True)
    assert len(set(tops)) == 1
    assert list(lefts) == sorted(lefts)
    assert set(heights) == set(widths) == {21}
    dark = (sheet < 128).all(axis=2).any(axis=0)  # the letters
    for left, end in zip(lefts, [*lefts[1:], 900], strict=True):
        assert dark[left + 21 : end].any()


def test_lines_break_in_a_narrow_legend() -> None:
    wide, narrow = (legend(ENTRIES, width, font_size=20) for width in (900, 220))
    places = [swatch(narrow, colour)[:2] for colour in COLOURS]
    assert places == sorted(places)  # from top to bottom, and in a line from left to right
    assert len({top for top, _ in places}) > 1
    assert len(narrow) > len(wide)
    assert (narrow[:, -1] == 255).all()  # no letter is cut off
