"""Lines of a plot against a parameter: which rows of a table make a point, and over what a point is the mean."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from eval.comparisons import Point
from eval.results import ResultsError, swept
from experiments.plotting.drawing import Lines, in_order
from experiments.plotting.selection import comparable

NOT_AN_AXIS = ("dataset", "label_source", "segmenter", "seed")


def parameters(summary: pd.DataFrame) -> list[str]:
    """Against what results can be plotted."""
    return [
        parameter
        for parameter in swept(summary)
        if parameter not in NOT_AN_AXIS and comparable(summary, parameter)[parameter].nunique() > 1
    ]


def usual_line(summary: pd.DataFrame, parameter: str) -> str:
    """What to draw lines of: the methods, else the next parameter that varies with this one, else ""."""
    rows = comparable(summary, parameter)
    if rows["name"].nunique() > 1:
        return "name"
    return next((name for name in swept(rows) if name not in (parameter, *NOT_AN_AXIS)), "")


def lines(table: pd.DataFrame, parameter: str, line: str, point: Callable[[pd.DataFrame], Point]) -> Lines:
    """The point of every group of rows, see `Lines`.

    Raises:
        ResultsError: the parameter has fewer than two values.
    """
    rows = comparable(table, parameter)
    if len(values := rows[parameter].unique()) < 2:
        raise ResultsError(f"{parameter}: these results have {' '.join(values) or 'no value'} alone; sweep it with -m")
    groups = {value: rows[rows[line] == value] for value in in_order(list(rows[line].unique()))} if line else {"": rows}
    return {
        value: {str(x): point(group) for x, group in own.groupby(parameter, sort=False)}
        for value, own in groups.items()
    }


def mean_score(metric: str, rows: pd.DataFrame) -> Point:
    """A score and the ends of its interval, each the mean over the rows."""
    value, low, high = rows[[metric, f"{metric}_low", f"{metric}_high"]].mean()
    return value, low, high


def averaged(summary: pd.DataFrame, parameter: str, line: str) -> str:
    """Says over what a plot against a parameter takes the mean."""
    others = [name for name in swept(comparable(summary, parameter)) if name not in (parameter, line, "segmenter")]
    return f"mean over {', '.join(others)}" if others else ""
