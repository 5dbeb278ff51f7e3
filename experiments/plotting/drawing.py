"""Building blocks of `experiments.plotting.plots`: figures, lines, rows of points, legends.

Colour-blind readers can tell the colours apart (Okabe and Ito). Each line also has a different marker.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from eval.results.comparisons import Estimate

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
PANEL, ROW, MARGIN, LETTER, LINE = 2.9, 0.22, 1.0, 0.07, 0.16  # inches
FONT = 8  # points
CHARACTERS = 14  # of a title, per inch
ALONG = 36  # characters that fit along a panel
TICKS = 8  # more values than this on a scaled axis get matplotlib's ticks
DODGE = 0.012  # distance between lines as a fraction of the axis, so that their intervals do not overlap
APART = 0.5  # width of the points at one value, as a fraction of the distance between values that are not numbers
NAME = 0.055  # height of a number beside a point, as a fraction of the axis
BESIDE = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, -1), (-1, 1))  # places for the number, best first
DECADE = 10

Lines = Mapping[str, Mapping[str, Estimate]]
"""Value of the line -> value on the axis -> point. A single line has the value ""."""


def new_figure(panels: int, rows: Sequence[str] = ()) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side. Without ``rows`` they are square; else ``rows`` are names on the y axis."""
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


def label_axes(axis: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Sets the title and the labels of both axes."""
    axis.set_title(title, fontsize=FONT + 1)
    axis.set_xlabel(x, fontsize=FONT)
    axis.set_ylabel(y, fontsize=FONT)


def wrap_name(name: str) -> str:
    """Breaks a long name into lines that fit along a square panel."""
    return textwrap.fill(name, ALONG)


def add_heading(figure: Figure, *parts: str) -> Figure:
    """Joins the non-empty parts by semicolons, writes them above a figure, and returns the figure."""
    lines = textwrap.wrap("; ".join(filter(None, parts)), int(CHARACTERS * figure.get_figwidth()))
    figure.set_figheight(figure.get_figheight() + LINE * (len(lines) - 1))
    figure.suptitle("\n".join(lines), fontsize=FONT + 1, x=0.01, ha="left")
    return figure


def number_points(axis: Axes, points: ArrayLike, high: float, crowd: ArrayLike) -> None:
    """Writes 1, 2, ... beside points, away from other points and other numbers.

    Args:
        axis: its x and y run from 0 to ``high``.
        points: ``(n, 2)``, the points to number.
        high: end of both axes.
        crowd: ``(m, 2)``, all points in the plot.
    """
    apart = NAME * high
    taken = [(np.asarray(crowd, dtype=float), 0.7 * apart)]  # points are smaller than numbers
    written: list[NDArray[np.float64]] = []
    for number, point in enumerate(np.asarray(points, dtype=float), 1):
        places = point + 0.8 * apart * np.array(BESIDE)
        room = np.array([min(_room(place, *each) for each in taken) for place in places])
        room[(places > high).any(axis=1) | (places < 0).any(axis=1)] = -np.inf
        best = int(np.argmax(np.minimum(room, 0)))  # the first with room, else the one with the most
        written.append(places[best])
        taken[1:] = [(np.array(written), apart)]
        x, y = places[best]
        axis.text(x, y, str(number), fontsize=FONT - 1, ha="center", va="center")


def _room(place: NDArray[np.float64], others: NDArray[np.float64], apart: float) -> float:
    """Distance from a place to the nearest other place, minus ``apart``."""
    return float(np.abs(others - place).max(axis=1).min() - apart) if len(others) else np.inf


def scale_counts(axis: Axes, which: Literal["x", "y"], values: ArrayLike) -> None:
    """Makes an axis logarithmic if the largest count is more than `DECADE` times the smallest."""
    known = np.asarray(values, dtype=float)
    known = known[known > 0]
    if len(known) and known.max() > DECADE * known.min():
        axis.set(**{f"{which}scale": "log"})
        scaled = axis.xaxis if which == "x" else axis.yaxis
        scaled.set_major_locator(LogLocator(subs=(1, 2, 5)))
        scaled.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        scaled.set_minor_formatter(NullFormatter())


def draw_lines(axis: Axes, lines: Lines) -> None:
    """Plots a numeric setting as a line on a scaled axis, other values as evenly spaced points, with intervals."""
    ticks = sorted_values(list(dict.fromkeys(x for points in lines.values() for x in points)))
    numbers = pd.to_numeric(pd.Series(ticks), errors="coerce")
    scaled = not numbers.isna().any()
    position = dict(zip(ticks, numbers if scaled else range(len(ticks)), strict=True))
    step = DODGE * ((max(position.values()) - min(position.values())) or 1) if scaled else APART / len(lines)
    styles = zip(cycle(COLOURS), cycle(MARKERS), strict=False)
    for number, ((value, points), (colour, marker)) in enumerate(zip(lines.items(), styles, strict=False)):
        x = [position[each] + (number - (len(lines) - 1) / 2) * step for each in sorted_values(list(points))]
        mean, low, high = np.array([points[each] for each in sorted_values(list(points))]).T
        axis.errorbar(
            x, mean, bar_lengths(mean, low, high), label=value, color=colour, marker=marker, markersize=4,
            linestyle="-" if scaled else "", linewidth=1.2, elinewidth=0.7, capsize=2,
        )  # fmt: skip
    if len(ticks) <= TICKS or not scaled:
        slanted = not scaled and len(ticks) * max(map(len, ticks)) > ALONG
        axis.set_xticks(list(position.values()), ticks, rotation=30 * slanted, ha="right" if slanted else "center")


def add_legend(figure: Figure, axis: Axes, title: str, below: bool = False) -> None:
    """Draws the legend of an axis beside the panels or below them."""
    handles, labels = axis.get_legend_handles_labels()
    place: Literal["outside lower center", "outside right center"]
    place = "outside lower center" if below else "outside right center"
    drawn = figure.legend(handles, labels, title=title, loc=place, fontsize=FONT, title_fontsize=FONT, frameon=False)
    if not below:
        _make_room(figure, drawn)


def add_number_legend(figure: Figure, names: Sequence[str], title: str) -> None:
    """Lists the names of the points that `number_points` numbered, if any, beside the panels."""
    if not names:
        return
    handles = [Line2D([], [], linestyle="") for _ in names]
    texts = [f"{number}  {name}" for number, name in enumerate(names, 1)]
    drawn = figure.legend(
        handles, texts, title=title, loc="outside right center", fontsize=FONT, title_fontsize=FONT, frameon=False,
        handlelength=0, handletextpad=0,
    )  # fmt: skip
    _make_room(figure, drawn)


def _make_room(figure: Figure, beside: Legend) -> None:
    """Widens a figure by the width of a legend, so that the panels do not shrink."""
    width = beside.get_window_extent().width / figure.dpi
    figure.set_figwidth(figure.get_figwidth() + max(width - MARGIN, 0))


def draw_rows(
    axis: Axes, mean: ArrayLike, low: ArrayLike, high: ArrayLike, number: int = 0, name: str | None = None
) -> None:
    """Draws points with intervals, one per row from the top. ``number``: marker, colour and a small shift down."""
    mean = np.asarray(mean, dtype=float)
    axis.errorbar(
        mean,
        np.arange(len(mean)) + 0.25 * number,
        xerr=bar_lengths(mean, low, high),
        fmt=MARKERS[number],
        label=name,
        color=COLOURS[number],
        markersize=4,
        elinewidth=1,
        capsize=2,
    )


def draw_points(
    axis: Axes, x: pd.DataFrame, y: pd.DataFrame, score: str, number: int = 0, name: str = "", faint: float = 1
) -> None:
    """Draws points with intervals along both axes.

    Args:
        axis: the panel.
        x, y: one row per point, with the columns ``SCORE``, ``SCORE_low`` and ``SCORE_high``.
        score: name of the column.
        number: index of the colour and the marker.
        name: text in the legend.
        faint: opacity of the intervals.
    """
    x_ends, y_ends = (bar_lengths(*(each[f"{score}{end}"] for end in ("", "_low", "_high"))) for each in (x, y))
    drawn = axis.errorbar(
        x[score], y[score], y_ends, x_ends, MARKERS[number], color=COLOURS[number], elinewidth=0.5, markersize=4,
        label=name,
    )  # fmt: skip
    for bars in drawn.lines[2]:
        bars.set_alpha(faint)


def bar_lengths(mean: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
    """Distances from the means to the ends of their intervals, ``(2, n)``, for matplotlib.

    An mIoU can lie outside its percentile interval, because resamples can miss classes. That side then has no bar.
    """
    mean, low, high = (np.asarray(values, dtype=float) for values in (mean, low, high))
    return np.maximum([mean - low, high - mean], 0)


def sorted_values(values: Sequence[str]) -> list[str]:
    """Sorts the values if all are numbers; else keeps their order."""
    numbers = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce")
    return list(values) if numbers.isna().any() else [values[index] for index in np.argsort(numbers, kind="stable")]
