"""Lines of a plot against a parameter: chooses the rows of each point and says over what the point is a mean."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from eval.comparisons import Point
from eval.results import ResultsError, swept
from experiments.plotting.drawing import Lines, sorted_values
from experiments.plotting.selection import comparable

NOT_AN_AXIS = ("dataset", "label_source", "segmenter", "seed")


def axis_parameters(summary: pd.DataFrame) -> list[str]:
    """Parameters that results can be plotted against."""
    return [
        parameter
        for parameter in swept(summary)
        if parameter not in NOT_AN_AXIS and comparable(summary, parameter)[parameter].nunique() > 1
    ]


def default_line(summary: pd.DataFrame, parameter: str) -> str:
    """The column with a line for each value: the methods, else the next parameter that varies, else ""."""
    rows = comparable(summary, parameter)
    if rows["name"].nunique() > 1:
        return "name"
    return next((name for name in swept(rows) if name not in (parameter, *NOT_AN_AXIS)), "")


def points_by_line(table: pd.DataFrame, parameter: str, line: str, point: Callable[[pd.DataFrame], Point]) -> Lines:
    """The point of every group of rows, see `Lines`.

    Raises:
        ResultsError: the parameter has fewer than two values.
    """
    rows = comparable(table, parameter)
    if len(values := rows[parameter].unique()) < 2:
        raise ResultsError(f"{parameter}: these results have {' '.join(values) or 'no value'} alone; sweep it with -m")
    groups = (
        {value: rows[rows[line] == value] for value in sorted_values(list(rows[line].unique()))} if line else {"": rows}
    )
    return {
        value: {str(x): point(group) for x, group in own.groupby(parameter, sort=False)}
        for value, own in groups.items()
    }


def mean_score(metric: str, rows: pd.DataFrame) -> Point:
    """A score and the ends of its interval, each the mean over the rows."""
    value, low, high = rows[[metric, f"{metric}_low", f"{metric}_high"]].mean()
    return value, low, high


def averaging_note(summary: pd.DataFrame, parameter: str, line: str) -> str:
    """Note about the parameters over which a plot takes the mean; "" without any."""
    others = [name for name in swept(comparable(summary, parameter)) if name not in (parameter, line, "segmenter")]
    return f"mean over {', '.join(others)}" if others else ""
