"""The lines of a plot against a parameter."""

from __future__ import annotations

import pandas as pd
import pytest
from eval.results.reading import ResultsError
from experiments.plotting.curves import averaging_note, axis_parameters, default_line, mean_score, points_by_line
from tests.helpers.made_up_results import grid, made_up

from experiments.plotting import plots


def test_only_numbers_and_choices_that_vary_are_axes() -> None:
    summary = made_up(*grid(tau=("0.5", "0.9"), seed=("0", "1"), anchors=("8",))).summary
    assert axis_parameters(summary) == ["tau"]
    assert axis_parameters(made_up({"tau": "0.5"}).summary) == []


def test_methods_are_lines_or_else_the_next_parameter_that_varies() -> None:
    methods = made_up(*grid(name=("A", "B"), tau=("0.5", "0.9"), anchors=("8", "16"))).summary
    assert default_line(methods, "tau") == "name"
    assert default_line(methods[methods["name"] == "A"], "tau") == "anchors"
    assert default_line(made_up(*grid(tau=("0.5", "0.9"))).summary, "tau") == ""


def test_a_point_is_made_of_the_rows_of_its_line_and_value() -> None:
    summary = made_up(*grid(tau=("0.9", "0.5"), anchors=("16", "8"), seed=("0", "1"))).summary
    points = points_by_line(summary, "tau", "anchors", lambda rows: (len(rows), 0, 0))
    rows = 2 * 2  # two seeds and two protocols
    assert points == {"8": {"0.9": (rows, 0, 0), "0.5": (rows, 0, 0)}, "16": {"0.9": (rows, 0, 0), "0.5": (rows, 0, 0)}}
    assert list(points) == ["8", "16"]
    assert list(points_by_line(summary, "tau", "", lambda rows: (len(rows), 0, 0))) == [""]


def test_a_score_is_averaged_with_the_ends_of_its_interval() -> None:
    rows = pd.DataFrame({"acc": [50.0, 60.0], "acc_low": [45.0, 51.0], "acc_high": [55.0, 63.0]})
    assert mean_score("acc", rows) == (55.0, 48.0, 59.0)


def test_the_note_names_what_is_averaged() -> None:
    summary = made_up(*grid(tau=("0.5", "0.9"), anchors=("8", "16"), seed=("0", "1"))).summary
    assert averaging_note(summary, "tau", "anchors") == "mean over seed"
    assert averaging_note(summary, "tau", "") == "mean over anchors, seed"
    assert averaging_note(summary[summary["seed"] == "0"], "tau", "anchors") == ""


def test_a_parameter_that_does_not_vary_is_named() -> None:
    with pytest.raises(ResultsError, match=r"tau: these results have the single value 0\.5"):
        plots.scores(made_up(*grid(tau=("0.5",), anchors=("8", "16"))), "tau")
