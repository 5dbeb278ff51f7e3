"""Building blocks of plots: places of numbers, axes, lines."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.plotting.drawing import (
    add_heading,
    bar_lengths,
    draw_lines,
    new_figure,
    number_points,
    scale_counts,
    sorted_values,
)
from tests.helpers.made_up_results import drawn_lines


def test_numbers_cover_no_point_and_no_other_number() -> None:
    crowd = np.array([(50, 50), (54, 50), (46, 50), (99, 99), (1, 1)])
    (axis,) = new_figure(1)[1]
    number_points(axis, crowd, 100, crowd)
    places = np.array([text.get_position() for text in axis.texts])
    assert [text.get_text() for text in axis.texts] == ["1", "2", "3", "4", "5"]
    assert np.abs(places[:, None] - crowd).max(axis=2).min() > 3
    between = np.abs(places[:, None] - places).max(axis=2)
    assert between[~np.eye(5, dtype=bool)].min() > 4
    assert ((places > 0) & (places < 100)).all()


def test_numbers_are_sorted_and_names_keep_their_order() -> None:
    assert sorted_values(["10", "9", "0.5"]) == ["0.5", "9", "10"]
    assert sorted_values(["10", "9", "half"]) == ["10", "9", "half"]
    assert sorted_values([]) == []


def test_a_score_outside_its_interval_has_no_bar_on_that_side() -> None:
    assert bar_lengths([5, 5, 5], [3, 6, 4], [9, 8, 4]).tolist() == [[2, 0, 1], [4, 3, 0]]


@pytest.mark.parametrize(
    ("counts", "scale"), [([1, 10], "linear"), ([1, 11], "log"), ([0, 5], "linear"), ([], "linear")]
)
def test_counts_that_differ_much_have_a_logarithmic_axis(counts: list[int], scale: str) -> None:
    (axis,) = new_figure(1)[1]
    scale_counts(axis, "x", counts)
    assert (axis.get_xscale(), axis.get_yscale()) == (scale, "linear")


def test_numbers_are_lines_on_a_scale_and_names_are_points_side_by_side() -> None:
    points = {"2": (5.0, 4.0, 7.0), "10": (6.0, 5.5, 6.5)}
    (numeric, named), lines = new_figure(2)[1], {"a": points, "b": points}
    draw_lines(numeric, lines)
    draw_lines(named, {line: {f"n{x}": point for x, point in points.items()} for line in lines})
    first, second = (container.lines[0] for container in numeric.containers)
    assert (first.get_linestyle(), [container.lines[0].get_linestyle() for container in named.containers]) == (
        *("-", ["None", "None"]),
    )
    assert list(first.get_ydata()) == [5, 6]
    assert np.diff(first.get_xdata()) == pytest.approx(8)  # to scale
    assert (first.get_xdata() < second.get_xdata()).all()  # intervals do not overlap
    assert np.mean([first.get_xdata(), second.get_xdata()], axis=0) == pytest.approx([2, 10])
    assert [tick.get_text() for tick in numeric.get_xticklabels()] == ["2", "10"]
    assert [tick.get_text() for tick in named.get_xticklabels()] == ["n2", "n10"]
    assert np.diff(named.containers[0].lines[0].get_xdata()) == pytest.approx(1)
    assert drawn_lines(numeric)["b"] == ([5, 6], [(4, 7), (5.5, 6.5)])


def test_a_long_heading_makes_the_figure_higher() -> None:
    figure, _ = new_figure(1)
    height = figure.get_figheight()
    assert add_heading(figure, "data", "", "note") is figure
    assert (figure.get_suptitle(), figure.get_figheight()) == ("data; note", height)
    add_heading(figure, "a word and " * 10)
    assert figure.get_suptitle().count("\n") == pytest.approx((figure.get_figheight() - height) / 0.16)
