"""Painted labels, overlays, label maps on disk and contact sheets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from diffseg.files.photographs import read_photo
from diffseg.pictures import (
    COLOURS,
    TILE_SHAPE,
    VOID_COLOUR,
    boundaries,
    by_area,
    colourise,
    contact_sheet,
    fit,
    legend,
    overlay,
    palette,
    write_label_map,
)

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
LABELS = np.array([[0, 0, 1, 1], [0, 2, 2, 1], [5, 2, 2, -1]])


# --- colours


@pytest.mark.parametrize("dtype", [np.int16, np.int64])
def test_colourise_paints_labels_and_void(dtype: type) -> None:
    painted = colourise(LABELS.astype(dtype))
    for row, column in np.ndindex(LABELS.shape):
        expected = VOID_COLOUR if LABELS[row, column] == -1 else palette(9)[LABELS[row, column]]
        assert tuple(painted[row, column]) == tuple(expected)
    assert (colourise(np.full((1, 1), 255, np.uint8)) == palette(256)[255]).all()


def test_large_labels_reuse_colours_and_negative_ones_are_refused() -> None:
    np.testing.assert_array_equal(
        colourise(np.array([[COLOURS + 3, 60000]])), palette(COLOURS)[None, [3, 60000 % COLOURS]]
    )
    with pytest.raises(ValueError, match="labels: must be at least 0, or -1 for void, got -2"):
        colourise(np.array([[0, -2]]))


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


# --- segments on a photograph


def blobs(height: int = 23, width: int = 31, count: int = 5) -> NDArray[np.int64]:
    """Random segments: each pixel belongs to the nearest of some points."""
    rows, columns = np.indices((height, width))
    points = RNG.uniform(0, (height, width), (count, 2))
    return ((rows[..., None] - points[:, 0]) ** 2 + (columns[..., None] - points[:, 1]) ** 2).argmin(axis=2)


@pytest.mark.parametrize("radius", [0, 1, 4, 40])
def test_boundaries_are_at_label_changes_only(radius: int) -> None:
    labels = blobs()
    changes = [
        (row, column)
        for row, column in np.ndindex(labels.shape)
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0))
        if 0 <= row + down < labels.shape[0]
        and 0 <= column + right < labels.shape[1]
        and labels[row, column] != labels[row + down, column + right]
    ]
    expected = np.zeros(labels.shape, bool)
    for row, column in changes:
        expected[max(0, row - radius) : row + radius + 1, max(0, column - radius) : column + radius + 1] = True
    np.testing.assert_array_equal(boundaries(labels, radius), expected)
    assert not boundaries(np.zeros((4, 4), int), radius).any()


def test_overlay_mixes_photograph_and_colours() -> None:
    labels = blobs()
    photo = RNG.integers(0, 200, (*labels.shape, 3), dtype=np.uint8)
    inside = ~boundaries(labels, 1)
    for opacity in (0.0, 0.25, 1.0):
        mixed = overlay(photo, labels, opacity)
        expected = (1 - opacity) * photo + opacity * colourise(labels)
        np.testing.assert_allclose(mixed[inside], expected[inside], atol=1)
        assert (mixed[boundaries(labels)] == 255).all()  # white
        rim = boundaries(labels, 1) & ~boundaries(labels)
        assert (mixed[rim] <= expected[rim]).all()
        assert mixed[rim].mean() < 0.8 * expected[rim].mean()


def test_overlay_of_another_size_or_opacity_is_refused() -> None:
    with pytest.raises(ValueError, match=r"labels: must have the size of the image, \(5, 7\), got \(3, 4\)"):
        overlay(RGB, LABELS)
    for opacity in (2, -0.1, np.nan):
        with pytest.raises(ValueError, match=r"opacity: must be in \[0, 1\], got"):
            overlay(RGB, np.zeros((5, 7), int), opacity)


def test_by_area_renumbers_without_moving_a_boundary() -> None:
    labels = blobs(count=6) * 7 + 2
    renumbered = by_area(labels)
    pairs = set(zip(labels.ravel().tolist(), renumbered.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(labels))
    areas = np.bincount(renumbered.ravel())
    assert len(areas) == len(np.unique(labels))
    assert (np.diff(areas) <= 0).all()
    assert by_area(np.array([[4, 2, 2, 4, 9]])).tolist() == [[1, 0, 0, 1, 2]]  # of equals, the lower number first
    np.testing.assert_array_equal(by_area(np.arange(300).reshape(15, 20)), np.arange(300).reshape(15, 20))


# --- label maps on disk


@pytest.mark.parametrize(
    ("labels", "mode"),
    [
        (np.arange(256).reshape(16, 16), "P"),
        (np.arange(256, dtype=np.uint8).reshape(16, 16), "P"),
        (np.array([[0, 256]]), "I;16"),
        (np.array([[0, 65535]]), "I;16"),
    ],
)
def test_a_label_map_holds_the_labels(tmp_path: Path, labels: NDArray[Any], mode: str) -> None:
    path = tmp_path / "map.png"
    write_label_map(path, labels)
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", mode)
        np.testing.assert_array_equal(np.array(image), labels)
    if mode == "P":
        np.testing.assert_array_equal(read_photo(path), colourise(labels))
    assert [file.name for file in tmp_path.iterdir()] == ["map.png"]


@pytest.mark.parametrize("labels", [[[-1, 0]], [[0, 65536]]])
def test_a_label_map_that_does_not_fit_is_refused(tmp_path: Path, labels: list[list[int]]) -> None:
    with pytest.raises(ValueError, match=r"labels: must be 0\.\.65535"):
        write_label_map(tmp_path / "map.png", np.array(labels))
    assert not list(tmp_path.iterdir())


# --- contact sheets


def flat(height: int, width: int, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy()


def box(sheet: NDArray[np.uint8], colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Top, left, height and width of the area of that colour."""
    rows, columns = np.nonzero((sheet == colour).all(axis=2))
    return rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1


RED, GREEN, BLUE = (250, 0, 0), (0, 250, 0), (0, 0, 250)


def test_a_contact_sheet_is_a_grid_that_keeps_shapes() -> None:
    # Wide, tall and small; the second row is shorter.
    sheet = contact_sheet([[("a", flat(50, 100, RED)), ("b", flat(300, 100, GREEN))], [("c", flat(10, 10, BLUE))]], 120)
    red, green, blue = (box(sheet, colour) for colour in (RED, GREEN, BLUE))
    assert red[2:] == (60, 120)
    assert green[2:] == (round(120 * TILE_SHAPE), round(120 * TILE_SHAPE / 3))
    assert blue[2:] == (120, 120)
    assert red[0] + red[2] // 2 == green[0] + green[2] // 2  # centred in a row
    assert red[1] + red[3] // 2 == blue[1] + blue[3] // 2  # and in a column
    assert green[1] + green[3] // 2 - (red[1] + red[3] // 2) > 120
    assert blue[0] > green[0] + green[2]
    assert (sheet[[0, -1]] == 255).all()
    assert (sheet[:, [0, -1]] == 255).all()


def caption_columns(sheet: NDArray[np.uint8], top: int) -> NDArray[np.intp]:
    return np.nonzero((sheet[top:] < 128).all(axis=2).any(axis=0))[0]


def test_captions_stand_below_their_tile_and_never_reach_the_next() -> None:
    tile = flat(60, 100, RED)
    sheet = contact_sheet([[("", tile), ("short", tile), ("a very long name " * 9, tile), ("", tile)]], 100)
    top, left, height, width = box(sheet, RED)
    step = (width - 100) // 3
    columns = caption_columns(sheet, top + height)
    tiles = (columns - left) // step
    assert set(tiles) == {1, 2}
    assert ((columns - left) % step < 100).all()
    assert 80 < np.ptp(columns[tiles == 2]) + 1 <= 100
    short = columns[tiles == 1]
    assert abs((short.min() + short.max()) / 2 - (left + step + 50)) < 3  # centred
    assert (contact_sheet([[("two\nlines", tile)]], 100) == contact_sheet([[("two lines", tile)]], 100)).all()


def test_fit_keeps_the_shape_and_at_least_one_pixel() -> None:
    assert fit(flat(300, 400, RED), 100).shape == (75, 100, 3)
    assert fit(flat(3, 4, RED), 100).shape == (75, 100, 3)
    assert fit(flat(2000, 1, RED), 30).shape == (40, 1, 3)
    assert fit(flat(1, 2000, RED), 30).shape == (1, 30, 3)
    once = fit(RGB, 90)
    np.testing.assert_array_equal(fit(once, 90), once)


# --- legends


SWATCHES = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
ENTRIES = list(zip(("road", "sky", "a rather long name", "tree"), SWATCHES, strict=True))


def test_swatches_stand_in_one_line_if_it_is_wide_enough() -> None:
    sheet = legend(ENTRIES, width=900, font_size=20)
    assert (sheet.shape[1], sheet.dtype) == (900, np.uint8)
    tops, lefts, heights, widths = zip(*(box(sheet, colour) for colour in SWATCHES), strict=True)
    assert len(set(tops)) == 1
    assert list(lefts) == sorted(lefts)
    assert set(heights) == set(widths) == {21}
    assert all((sheet == colour).all(axis=2).sum() == 21**2 for colour in SWATCHES)  # filled
    dark = (sheet < 128).all(axis=2).any(axis=0)  # the letters
    for left, end in zip(lefts, [*lefts[1:], 900], strict=True):
        assert dark[left + 21 : end].any()


def test_lines_break_in_a_narrow_legend() -> None:
    wide, narrow = (legend(ENTRIES, width, font_size=20) for width in (900, 220))
    places = [box(narrow, colour)[:2] for colour in SWATCHES]
    assert places == sorted(places)  # from top to bottom, and in a line from left to right
    assert len({top for top, _ in places}) > 1
    assert len(narrow) > len(wide)
    assert (narrow[:, -1] == 255).all()  # no letter is cut off
