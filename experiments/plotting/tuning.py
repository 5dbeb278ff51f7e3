"""Plots of `experiments.tune`: score over the scale parameter, and automatic numbers of segments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plotting.drawing import COLOURS, FONT, GREY, MARKERS, PANEL, add_heading, label_axes, new_figure

if TYPE_CHECKING:
    from experiments.tune import Curve

COLUMNS = 5
SMALL = 0.7  # size of these panels as a fraction of `PANEL`
LARGEST_DOT = 120  # square points


def tuning(curves: Sequence[Curve]) -> Figure:
    """Draws the score of each method over its scale parameter: a panel for each method, a line for each data set.

    The axis is logarithmic; of similarities, in 1 - value. A ring marks the winner. A method without a parameter is a
    dashed line.
    """
    methods = list(dict.fromkeys(curve.method for curve in curves))
    datasets = list(dict.fromkeys(curve.dataset for curve in curves))
    columns = min(COLUMNS, len(methods))
    rows = ceil(len(methods) / columns)
    figure = Figure((SMALL * PANEL * columns + 1, SMALL * PANEL * rows + 1), layout="constrained")
    for panel, method in enumerate(methods):
        axis = figure.add_subplot(rows, columns, panel + 1)
        of_method = [curve for curve in curves if curve.method == method]
        for curve in of_method:
            place = datasets.index(curve.dataset)
            _draw(axis, curve, COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)])
        name = of_method[0].parameter.rpartition(".")[2]
        axis.tick_params(labelsize=FONT - 2, which="both")
        label_axes(axis, method, name, "%" if panel % columns == 0 else "")
    lines = dict.fromkeys(
        f"{curve.dataset}: {curve.criterion}, {len(curve.rows[0].records)} images" for curve in curves
    )
    if len(datasets) > 1:
        lines = {f"{colour}: {text}": None for colour, text in zip(("blue", "orange", "green"), lines, strict=False)}
    return add_heading(figure, *lines, "ring: the winner", "dashed: a method without a parameter")


def _draw(axis: Axes, curve: Curve, colour: str, marker: str) -> None:
    if not curve.parameter:
        axis.axhline(curve.scores[0], color=colour, linestyle="--")
        axis.set_xticks([])
        return
    values, best = np.array(curve.values), curve.best
    places = 1 - values if curve.of_similarity else values
    axis.plot(places, curve.scores, color=colour, marker=marker, markersize=3, linewidth=1)
    axis.plot(places[best], curve.scores[best], "o", color=colour, fillstyle="none", markersize=9)
    axis.set_xscale("log")
    axis.minorticks_off()
    ticks = [0, len(values) // 2, len(values) - 1]
    axis.set_xticks(places[ticks], [f"{value:g}" for value in values[ticks]])
    axis.xaxis.set_inverted(curve.of_similarity)


def calibration(curves: Sequence[Curve]) -> Figure:
    """Draws the number of segments that automatic methods choose over the number of classes in each picture.

    Args:
        curves: methods without a parameter, on data sets with classes.
    """
    figure, axes = new_figure(len(curves))
    for axis, curve in zip(axes, curves, strict=True):
        records = curve.rows[0].records
        classes = [int((record.tables["classes"].dense().sum(axis=1) > 0).sum()) for record in records]
        chosen = [record.segments for record in records]
        places = Counter(zip(classes, chosen, strict=True))
        sizes = LARGEST_DOT * np.array(list(places.values())) / max(places.values())
        axis.scatter([x for x, _ in places], [y for _, y in places], s=sizes, color=COLOURS[0], alpha=0.6)
        most = max(*classes, *chosen) + 1
        axis.plot([0, most], [0, most], color=GREY, linestyle="--", zorder=0)
        means = f"mean {np.mean(chosen):.1f} for {np.mean(classes):.1f}"
        if min(np.ptp(classes), np.ptp(chosen)):
            means += f", r = {np.corrcoef(classes, chosen)[0, 1]:.2f}"
        title = f"{curve.method}, {curve.dataset}\n{means}"
        label_axes(axis, title, "classes in the picture", "segments")
    return add_heading(
        figure, "number of segments that a method chooses; larger dots: more images; dashed: as many as classes"
    )
