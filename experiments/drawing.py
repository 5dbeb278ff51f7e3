"""How `experiments.plots` draws: lines against a parameter, rows of points with intervals, colours and sizes.

The colours are Okabe and Ito's, which the colour-blind tell apart; each line has a marker of its own as well.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from experiments.comparisons import Point

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
GREY = "0.6"
LABELS = {
    "name": "method",
    "tau": "threshold τ (nats)",
    "anchors": "anchors along one side, M",
    "iterations": "iterations, N",
    "weights": "aggregation weights, R",
    "scheme": "aggregation scheme",
    "timestep": "time step, t",
    "size": "side of the input (pixels)",
    "clusters": "clusters, k",
    "eps": "radius of a neighbourhood, eps",
    "min_samples": "neighbours of a core point",
}
PANEL, ROW, MARGIN, LETTER = 2.9, 0.22, 1.0, 0.07  # inches
FONT = 8  # points
CHARACTERS = 14  # of a title, an inch
TICKS = 8
DODGE = 0.012  # of the axis, between lines, so that their intervals do not cover each other
NAME = 0.045  # of the axis, the height of a name
LEFT_FROM = 0.7  # of the axis: points beyond have their names on the left

Lines = Mapping[str, Mapping[str, Point]]
"""Value of the one parameter -> value of the other, along the axis -> point; "" for the only line."""


def new_figure(panels: int, rows: Sequence[str] = ()) -> tuple[Figure, list[Axes]]:
    """A figure of panels side by side: square ones, or of rows whose names stand on the left, the first on top."""
    margin = LETTER * max(map(len, rows)) if rows else MARGIN
    figure = Figure((PANEL * panels + margin, ROW * len(rows) + MARGIN if rows else PANEL), layout="constrained")
    axes = figure.subplots(1, panels, sharey=bool(rows), squeeze=False)[0]
    if rows:
        axes[0].set_yticks(range(len(rows)), rows)
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
    for axis in axes:
        axis.tick_params(labelsize=FONT)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color="0.9", linewidth=0.5)
        axis.set_axisbelow(True)
    return figure, list(axes)


def label(axis: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Title and axis labels."""
    axis.set_title(title, fontsize=FONT + 1)
    axis.set_xlabel(x, fontsize=FONT)
    axis.set_ylabel(y, fontsize=FONT)


def head(figure: Figure, *parts: str) -> Figure:
    """The figure under a line that says what it shows; empty parts are left out."""
    text = textwrap.fill("; ".join(filter(None, parts)), int(CHARACTERS * figure.get_figwidth()))
    figure.suptitle(text, fontsize=FONT + 1, x=0.01, ha="left")
    return figure


def name_points(axis: Axes, points: Mapping[str, tuple[float, float]], low: float, high: float) -> None:
    """Names points inside the limits ``low..high`` of both axes, none on top of another."""
    for left in (True, False):
        side = {name: point for name, point in points.items() if (point[0] > low + LEFT_FROM * (high - low)) == left}
        height = -np.inf
        for name, (x, y) in sorted(side.items(), key=lambda item: item[1][1]):
            height = max(y, height + NAME * (high - low))
            axis.text(
                x + (-1 if left else 1) * NAME / 2 * (high - low), height, name, fontsize=FONT - 2,
                ha="right" if left else "left", va="center",
            )  # fmt: skip


def draw_lines(axis: Axes, lines: Lines) -> None:
    """Lines with intervals; along the axis numbers to scale, other values evenly spaced."""
    ticks = in_order(list(dict.fromkeys(x for points in lines.values() for x in points)))
    numbers = pd.to_numeric(pd.Series(ticks), errors="coerce")
    scaled = not numbers.isna().any()
    position = dict(zip(ticks, numbers if scaled else range(len(ticks)), strict=True))
    step = DODGE * ((max(position.values()) - min(position.values())) or 1)
    styles = zip(cycle(COLOURS), cycle(MARKERS), strict=False)
    for number, ((value, points), (colour, marker)) in enumerate(zip(lines.items(), styles, strict=False)):
        x = [position[each] + (number - (len(lines) - 1) / 2) * step for each in in_order(list(points))]
        mean, low, high = np.array([points[each] for each in in_order(list(points))]).T
        axis.errorbar(
            x, mean, ends(mean, low, high), label=value, color=colour, marker=marker, markersize=4, linewidth=1.2,
            elinewidth=0.7, capsize=2,
        )  # fmt: skip
    if len(ticks) <= TICKS or not scaled:
        axis.set_xticks(
            list(position.values()), ticks, rotation=0 if scaled else 30, ha="center" if scaled else "right"
        )


def legend(figure: Figure, axis: Axes, title: str) -> None:
    """The legend of the lines, beside the panels."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, title=title, loc="outside right center", fontsize=FONT, title_fontsize=FONT, frameon=False
    )


def draw_rows(
    axis: Axes, mean: ArrayLike, low: ArrayLike, high: ArrayLike, number: int = 0, name: str | None = None
) -> None:
    """Points with intervals, a row each, the first on top; those with a higher ``number`` a little lower."""
    mean = np.asarray(mean, dtype=float)
    axis.errorbar(
        mean,
        np.arange(len(mean)) + 0.25 * number,
        xerr=ends(mean, low, high),
        fmt=MARKERS[number],
        label=name,
        color=COLOURS[number],
        markersize=4,
        elinewidth=1,
        capsize=2,
    )


def ends(mean: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
    """``(2, n)``: how far the ends of the intervals are from the mean, as matplotlib wants it.

    Where resamples miss classes, an mIoU can lie outside its own percentile interval: that side then has no bar.
    """
    mean, low, high = (np.asarray(values, dtype=float) for values in (mean, low, high))
    return np.maximum([mean - low, high - mean], 0)


def in_order(values: Sequence[str]) -> list[str]:
    """Numbers by size, other values as they come."""
    numbers = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce")
    return list(values) if numbers.isna().any() else [values[index] for index in np.argsort(numbers, kind="stable")]
