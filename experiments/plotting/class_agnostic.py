"""Plots the scores that do not match segments with classes."""

from __future__ import annotations

from eval.results.reading import Results
from matplotlib.figure import Figure

from experiments.plotting.drawing import add_heading, draw_rows, label_axes, new_figure
from experiments.plotting.selection import (
    INTERVALS,
    describe_data,
    rows_of_one_protocol,
    seeds_together,
    shown_settings,
)

PANELS = {
    "ari": ("adjusted Rand index", "%"),
    "voi": ("variation of information", "bits, 0 is best"),
    "covering": ("covering", "%"),
}


def class_agnostic(results: Results) -> Figure:
    """Plots adjusted Rand index, variation of information and covering of every setting.

    Scores are means over the images with 95 % intervals (`eval.agreement`), averaged over the seeds. If there are more
    than `MOST_ROWS` settings, only the best by mIoU are shown.
    """
    summary = seeds_together(results.summary)
    shown, title = shown_settings(summary)
    rows = rows_of_one_protocol(summary).set_index("setting").loc[shown]
    figure, axes = new_figure(len(PANELS), shown)
    for axis, (metric, (name, unit)) in zip(axes, PANELS.items(), strict=True):
        draw_rows(axis, rows[metric], rows[f"{metric}_low"], rows[f"{metric}_high"])
        label_axes(axis, name, unit)
    return add_heading(figure, describe_data(results), INTERVALS, "mean over the images, without matching", title)
