"""Plot of the scores that match no segment with a class."""

from __future__ import annotations

from matplotlib.figure import Figure

from eval.results import Results
from experiments.plotting.drawing import add_heading, draw_rows, label_axes, new_figure
from experiments.plotting.plots import INTERVALS, describe_data, rows_of_one_protocol
from experiments.plotting.selection import seeds_together, shown_settings

PANELS = {
    "ari": ("adjusted Rand index", "%"),
    "voi": ("variation of information", "bits, 0 is best"),
    "covering": ("covering", "%"),
}


def class_agnostic(results: Results) -> Figure:
    """Adjusted Rand index, variation of information and covering of every setting, seeds averaged.

    Means over the images with their 95 % intervals (`eval.agreement`). Of many settings, the best by mIoU.
    """
    summary = seeds_together(results.summary)
    shown, title = shown_settings(summary)
    rows = rows_of_one_protocol(summary).set_index("setting").loc[shown]
    figure, axes = new_figure(len(PANELS), shown)
    for axis, (metric, (name, unit)) in zip(axes, PANELS.items(), strict=True):
        draw_rows(axis, rows[metric], rows[f"{metric}_low"], rows[f"{metric}_high"])
        label_axes(axis, name, unit)
    return add_heading(figure, describe_data(results), INTERVALS, "mean over the images, no class is needed", title)
