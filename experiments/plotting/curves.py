"""Computes the lines of a plot against a parameter, and says which other parameters their points average over."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from eval.results.reading import ResultsError, swept

from eval.results.comparisons import Estimate
from experiments.plotting.drawing import Lines, sorted_values
from experiments.plotting.selection import comparable

NOT_AN_AXIS = ("dataset", "label_source", "segmenter", "seed")


def axis_parameters(summary: pd.DataFrame) -> list[str]:
    """The parameters that can be the axis of a plot."""
    return [
        parameter
        for parameter in swept(summary)
        if parameter not in NOT_AN_AXIS and comparable(summary, parameter)[parameter].nunique() > 1
    ]


def default_line(summary: pd.DataFrame, parameter: str) -> str:
    """The column whose values become separate lines: the method, else the next parameter that varies, else ""."""
    rows = comparable(summary, parameter)
    if rows["name"].nunique() > 1:
        return "name"
    return next((name for name in swept(rows) if name not in (parameter, *NOT_AN_AXIS)), "")


def points_by_line(table: pd.DataFrame, parameter: str, line: str, point: Callable[[pd.DataFrame], Estimate]) -> Lines:
    """Computes the points of all lines, see `Lines`.

    Raises:
        ResultsError: the parameter has fewer than two values.
    """
    rows = comparable(table, parameter)
    if len(values := rows[parameter].unique()) < 2:
        found = f"the single value {values[0]}" if len(values) else "no value"
        raise ResultsError(f"{parameter}: these results have {found}; sweep it with -m")
    groups = (
        {value: rows[rows[line] == value] for value in sorted_values(list(rows[line].unique()))} if line else {"": rows}
    )
    return {
        value: {str(x): point(rows_of_point) for x, rows_of_point in group.groupby(parameter, sort=False)}
        for value, group in groups.items()
    }


def mean_score(metric: str, rows: pd.DataFrame) -> Estimate:
    """Means over the rows: score, lower end, upper end of the interval."""
    value, low, high = rows[[metric, f"{metric}_low", f"{metric}_high"]].mean()
    return value, low, high


def averaging_note(summary: pd.DataFrame, parameter: str, line: str) -> str:
    """A note that names the parameters over which a plot averages; "" if it does not average."""
    others = [name for name in swept(comparable(summary, parameter)) if name not in (parameter, line, "segmenter")]
    return f"mean over {', '.join(others)}" if others else ""
