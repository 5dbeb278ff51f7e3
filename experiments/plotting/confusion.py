"""Plots the confusion matrix of one setting, from ``confusion.csv``."""

from __future__ import annotations

import numpy as np
import pandas as pd
from eval.results.reading import Results, read_confusion
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.results.tables import PERCENT
from experiments.plotting.drawing import FONT, LETTER, MARGIN, add_heading
from experiments.plotting.selection import describe_data, reported_protocols

CELL = 0.17  # inches
FEWEST_CELLS = 12  # a smaller matrix has larger cells, so that its heading fits
NO_CLASS = "(none)"


def confusion(results: Results, setting: str, chosen: str = "") -> Figure | None:
    """Plots a confusion matrix for each protocol: true class (row), class of the segment (column), in % of the row.

    Args:
        results: results of one data set.
        setting: a setting in `Results.summary`.
        chosen: a text for the heading that says why this setting is shown.

    Returns:
        The figure; None if the run has no ``confusion.csv`` or no image was evaluated.
    """
    lines = read_confusion(results, setting)
    shares = {name: shares_of(lines, name) for name in reported_protocols(results.summary)}
    shares = {name: table for name, table in shares.items() if not table.empty}
    if not shares:
        return None
    widest = max(max(table.shape) for table in shares.values())
    cell = CELL * max(1, FEWEST_CELLS / widest)
    names = LETTER * max(len(str(name)) for table in shares.values() for name in [*table.index, *table.columns])
    figure = Figure(
        (len(shares) * (cell * widest + names) + MARGIN, cell * widest + names + MARGIN), layout="compressed"
    )
    for axis, (protocol, table) in zip(figure.subplots(1, len(shares), squeeze=False)[0], shares.items(), strict=True):
        drawn = axis.imshow(table, cmap="Blues", vmin=0, vmax=PERCENT, interpolation="nearest")
        axis.set_xticks(range(table.shape[1]), table.columns, rotation=90, fontsize=FONT - 1)
        axis.set_yticks(range(table.shape[0]), table.index, fontsize=FONT - 1)
        axis.set_title(f"protocol {protocol}", fontsize=FONT + 1)
        axis.set_xlabel("class of the segment", fontsize=FONT)
        axis.set_ylabel("true class", fontsize=FONT)
    bar = figure.colorbar(drawn, ax=figure.axes, shrink=0.6)
    bar.ax.tick_params(labelsize=FONT)
    bar.set_label("% of the pixels of the true class", fontsize=FONT)
    return add_heading(figure, describe_data(results), setting, chosen)


def shares_of(lines: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Confusion matrix of a setting, in percent of the pixels of the true class.

    Args:
        lines: lines of ``confusion.csv``, from `eval.results.reading.read_confusion`.
        protocol: protocol of the matrix.

    Returns:
        One row for each class in the ground truth and one column for each class of a segment, in the order of the
        labels. The last column, ``(none)``, is for segments without a class. Empty without lines in ``confusion.csv``.
    """
    table = lines[lines["protocol"] == protocol]
    if table.empty:
        return pd.DataFrame()
    names = {**dict(zip(table["class_id"], table["class"], strict=True))}
    names |= dict(zip(table["matched_id"].dropna().astype(int), table.dropna()["matched"], strict=True))
    number = max(names, default=-1) + 1
    counts: NDArray[np.float64] = np.zeros((number, number + 1))
    counts[table["class_id"], table["matched_id"].fillna(number).astype(int)] = table["pixels"]
    present, matched = np.flatnonzero(counts.any(axis=1)), np.flatnonzero(counts.any(axis=0))
    shares = PERCENT * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names[number] = NO_CLASS
    return pd.DataFrame(
        shares[np.ix_(present, matched)], [names[label] for label in present], [names[label] for label in matched]
    )
