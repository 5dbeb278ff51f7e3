"""Building blocks of plots: axes, lines, heat maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.plotting.drawing import add_heading, bar_lengths, draw_cells, draw_lines, new_figure, save
from tests.helpers.drawn import drawn_lines


def test_a_score_outside_its_interval_has_no_bar_on_that_side() -> None:
    assert bar_lengths([5, 5, 5], [3, 6, 4], [9, 8, 4]).tolist() == [[2, 0, 1], [4, 3, 0]]


def test_numbers_are_lines_on_a_scale_and_names_are_points_side_by_side() -> None:
    points = {10: (6.0, 5.5, 6.5), 2: (5.0, 4.0, 7.0)}
    (numeric, named), lines = new_figure(2)[1], {"a": points, "b": points}
    draw_lines(numeric, lines, {2: "two", 10: "ten"})
    draw_lines(
        named, {line: {f"n{x}": point for x, point in points.items()} for line in lines}, {"n10": "B", "n2": "A"}
    )
    first, second = (container.lines[0] for container in numeric.containers)
    assert first.get_linestyle() == "-"
    assert [container.lines[0].get_linestyle() for container in named.containers] == ["None", "None"]
    assert list(first.get_ydata()) == [5, 6]
    assert np.diff(first.get_xdata()) == pytest.approx(8)  # to scale
    assert (first.get_xdata() < second.get_xdata()).all()  # intervals do not overlap
    assert np.mean([first.get_xdata(), second.get_xdata()], axis=0) == pytest.approx([2, 10])
    assert [tick.get_text() for tick in numeric.get_xticklabels()] == ["two", "ten"]
    assert [tick.get_text() for tick in named.get_xticklabels()] == ["B", "A"]
    assert drawn_lines(numeric)["b"] == ([5, 6], [(4, 7), (5.5, 6.5)])


def test_a_long_heading_makes_the_figure_higher() -> None:
    figure, _ = new_figure(1)
    height = figure.get_figheight()
    assert add_heading(figure, "data", "", "note") is figure
    assert (figure.get_suptitle(), figure.get_figheight()) == ("data; note", height)
    add_heading(figure, "a word and " * 10)
    assert figure.get_suptitle().count("\n") == pytest.approx((figure.get_figheight() - height) / 0.16)


def test_cells_stand_under_their_names() -> None:
    figure = draw_cells(
        {"a": np.eye(3)[:, :2], "b": np.eye(3)}, ["x", "y", "z"], {"a": ["1", "2"], "b": ["4", "5", "6"]}, "%"
    )
    left, right, bar = figure.axes
    assert np.array_equal(left.images[0].get_array(), np.eye(3)[:, :2])
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["1", "2"]
    assert [tick.get_text() for tick in right.get_yticklabels()] == ["x", "y", "z"]
    assert bar.get_ylabel() == "%"


def test_equal_figures_are_equal_bytes(tmp_path: Path) -> None:
    saved = []
    for folder, value in (("first", 1), ("again", 1), ("other", 2)):
        figure = Figure((1, 1))
        figure.subplots().plot([0, value])
        saved.append([path.read_bytes() for path in save({"a": figure}, tmp_path / folder)])
    first, again, other = saved
    assert first == again
    assert all(old != new for old, new in zip(first, other, strict=True))
    assert {path.name for path in (tmp_path / "first").iterdir()} == {"a.png", "a.pdf"}
