"""Plots of protocols `regions` and `boundaries`: one line a family of rows that differ in one number, such as tau.

A single row is one point. Published scores stand beside those of the same pictures. Every function takes rows of one
data set and frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.results.scales import families
from experiments.plotting.drawing import (
    COLOURS,
    FONT,
    GREY,
    MARKERS,
    add_heading,
    add_legend,
    label_axes,
    new_figure,
)
from experiments.plotting.shown import ShownRow, describe_data
from experiments.published import published_regions

REGIONS = {"covering": "covering (%)", "pri": "probabilistic Rand index (%)", "voi": "variation of information (bits)"}
ISOLINES = range(10, 100, 10)
APART = 3.5  # smallest distance of two names at the edge, in percent of the axis
LARGER = 1.6  # a panel with isolines, times the usual size


def scale_plots(rows: Sequence[ShownRow]) -> dict[str, Figure]:
    """Name -> figure, for the protocols that the rows have."""
    figures = {}
    for draw in (regions, boundaries):
        if own := [row for row in rows if draw.__name__ in row.scores and row.row.evaluated]:
            figures[draw.__name__] = draw(own)
    return figures


def regions(rows: Sequence[ShownRow]) -> Figure:
    """Plots covering, PRI and VoI against the number of segments, which all scales have in common."""
    figure, axes = new_figure(len(REGIONS))
    published = published_regions(rows[0].row)
    for axis, (metric, title) in zip(axes, REGIONS.items(), strict=True):
        for name, line, style in _lines(rows):
            segments = [np.mean([record.segments for record in row.row.evaluated]) for row in line]
            axis.plot(segments, [row.score("regions", metric) for row in line], label=name, **style)
        known = published.dropna(subset=[f"{metric}_ods"])
        for value in known[f"{metric}_ods"]:
            axis.axhline(value, color=GREY, linestyle="--", linewidth=0.8, zorder=0)
        _name_edge(axis, dict(zip(known["method"], known[f"{metric}_ods"], strict=True)))
        axis.set_xscale("log")
        label_axes(axis, title, "segments per image", "")
    add_legend(figure, axes[0], "")
    note = "" if published.empty else "dashed: published, at the best scale of the set"
    return add_heading(figure, describe_data(rows), note)


def boundaries(rows: Sequence[ShownRow]) -> Figure:
    """Plots precision against recall of boundary pixels. Grey lines: equal F; dashed ones: published F."""
    figure, (axis,) = new_figure(1)
    figure.set_size_inches(*(LARGER * np.array(figure.get_size_inches())))
    for f in ISOLINES:
        axis.plot(*_isoline(f), color="0.85", linewidth=0.6, zorder=0)
    for label, line, style in _lines(rows):
        recall, precision = (
            [row.score("boundaries", f"boundary_{name}") for row in line] for name in ("recall", "precision")
        )
        axis.plot(recall, precision, label=label, **style)
    known = published_regions(rows[0].row).dropna(subset=["f_ods"])
    for f in known["f_ods"]:
        axis.plot(*_isoline(f), color=GREY, linestyle="--", linewidth=0.8, zorder=0)
    ends = {f"{row.method} {row.f_ods:.1f}": _isoline(row.f_ods)[1][-1] for row in known.itertuples()}
    axis.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    _name_edge(axis, ends)
    label_axes(axis, "", "recall (%)", "precision (%)")
    add_legend(figure, axis, "")
    note = "" if known.empty else "dashed: published F at the best scale of the set"
    return add_heading(figure, describe_data(rows), "boundaries; grey: equal F, 10 to 90 %", note)


def _lines(rows: Sequence[ShownRow]) -> Iterator[tuple[str, list[ShownRow], Mapping[str, Any]]]:
    """Name, rows in the order of the scale, and style of each family."""
    shown = {id(row.row): row for row in rows}
    styles = cycle((colour, marker) for marker in MARKERS for colour in COLOURS)
    for family, (colour, marker) in zip(families([row.row for row in rows]), styles, strict=False):
        line = [shown[id(family.rows[index])] for index in np.argsort(family.values, kind="stable")]
        name = family.name if len(line) > 1 else line[0].name
        yield name, line, {"color": colour, "marker": marker, "markersize": 3.5, "linewidth": 1}


def _isoline(f: float) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision in percent at which F is ``f`` percent."""
    recall = np.linspace(f / (2 - f / 100), 100, 100)
    return recall, f * recall / (2 * recall - f)


def _name_edge(axis: Axes, values: Mapping[str, float]) -> None:
    """Writes names at their heights along the right edge, at least `APART` from each other."""
    low, high = axis.get_ylim()
    place = low - high
    for name, value in sorted(values.items(), key=lambda item: item[1]):
        place = max((value - low) / (high - low), place + APART / 100)
        axis.text(1.01, place, name, transform=axis.transAxes, fontsize=FONT - 2, color="0.4", va="center")
