"""Plots of rows (`experiments.plotting.shown`): scores against settings, methods side by side, classes.

Scores are those of the tables: in percent, of the pixels of all images together, with 95 % bootstrap intervals over the
images. If a point is a mean over rows, the heading says over which settings, and the ends of its interval are means,
too. Every plot takes rows of one data set and frame, returns a new figure, and needs neither pyplot nor a display.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.metrics import PERCENT, bootstrap_mean, iou, recall
from eval.protocols import PROTOCOLS, ProtocolName, needs_classes
from experiments.compare.comparing import differences, find_row
from experiments.plotting.drawing import (
    COLOURS,
    FONT,
    GREY,
    Estimate,
    add_heading,
    add_legend,
    draw_cells,
    draw_lines,
    draw_rows,
    label_axes,
    new_figure,
)
from experiments.plotting.scale_plots import scale_plots
from experiments.plotting.shown import (
    SEED,
    ShownRow,
    axis_settings,
    by_dataset,
    comparable,
    criterion,
    describe_data,
    most,
    protocols_of,
    ranked,
    seeds_together,
    sorted_values,
    swept,
)

AGREEMENT = {
    "ari": "adjusted Rand index (%)",
    "voi": "variation of information (bits)",
    "covering": "mean covering (%)",
}
INTERVALS = "95 % intervals"
NO_CLASS = "(none)"
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


def all_plots(rows: Sequence[ShownRow], reference: str | None = None) -> dict[str, Figure]:
    """Draws every plot that the rows allow; returns name -> figure. Names are valid file names.

    Args:
        rows: rows of any number of data sets and frames, which are plotted separately.
        reference: name of a row. Rows of its data set are compared with it; None: each with the best row.

    Raises:
        ConfigError: there is no such row.
    """
    chosen = find_row(rows, reference, "") if reference else None
    groups = by_dataset(rows)
    several_frames = len({dataset for dataset, _ in groups}) < len(groups)
    figures: dict[str, Figure] = {}
    for (dataset, frame), group in groups.items():
        prefix = f"{dataset}_{frame}_" if several_frames else f"{dataset}_" if len(groups) > 1 else ""
        own = chosen if chosen in group else None
        figures |= {f"{prefix}{name}": figure for name, figure in _plots_of_dataset(group, own).items()}
    return figures


def _plots_of_dataset(rows: Sequence[ShownRow], reference: ShownRow | None) -> dict[str, Figure]:
    figures = scale_plots(rows)
    rows = [row for row in rows if row.row.evaluated and any(map(needs_classes, row.scores))]
    if not rows:
        return figures
    for setting in axis_settings(rows):
        figures[f"score_{setting}"] = scores(rows, setting)
        figures[f"segments_{setting}"] = segments(rows, setting)
        figures[f"classes_{setting}"] = classes(rows, setting)
    best = ranked(rows)[0]
    figures["classes"] = classes(rows)
    if len(rows) > 1:
        figures["methods"] = methods(rows)
        figures["paired"] = paired(rows, reference or best)
        if any(command.audit for row in rows for command in row.run.commands):
            figures["audit"] = paired(rows)
    figures["confusion"] = confusion(best, f"the best row by {criterion(rows)}" if len(rows) > 1 else "")
    return figures


def scores(rows: Sequence[ShownRow], setting: str) -> Figure:
    """Plots ACC and mIoU against a setting; the lines are the methods, or else the next setting that varies."""
    panels = _score_panels(rows)
    figure, axes = new_figure(len(panels))
    for axis, (title, protocol, metric) in zip(axes, panels, strict=True):

        def point(group: Sequence[ShownRow], protocol: ProtocolName = protocol, metric: str = metric) -> Estimate:
            value, low, high = np.mean([row.estimate(protocol, metric) for row in group], axis=0)
            return value, low, high

        line = _draw_lines(axis, rows, setting, point)
        label_axes(axis, title, LABELS.get(setting, setting), "%")
    return _finish_lines(figure, rows, setting, line)


def segments(rows: Sequence[ShownRow], setting: str) -> Figure:
    """Plots segments per image against a setting; dashed: classes per image. See `scores`."""
    figure, (axis,) = new_figure(1)
    most_images = max(rows, key=lambda row: len(row.row.evaluated))
    truth = [int((table.dense().sum(axis=1) > 0).sum()) for table in most_images.row.tables()]
    axis.axhline(float(np.mean(truth)), color=GREY, linestyle="--", zorder=0)
    line = _draw_lines(axis, rows, setting, _mean_segments)
    axis.set_ylim(bottom=0)
    label_axes(axis, "", LABELS.get(setting, setting), "segments per image")
    return _finish_lines(figure, rows, setting, line, "dashed: classes per image in the ground truth")


def methods(rows: Sequence[ShownRow]) -> Figure:
    """Plots the scores of every row with their intervals, averaged over the seeds; hollow: published scores."""
    shown, note = most(seeds_together(rows))
    panels = _score_panels(rows)
    panels += [(title, protocols_of(rows)[0], metric) for metric, title in AGREEMENT.items()]
    figure, axes = new_figure(len(panels), [row.name for row in shown])
    for axis, (title, protocol, metric) in zip(axes, panels, strict=True):
        draw_rows(axis, [row.estimate(protocol, metric) for row in shown])
        if protocol == "official":
            published = [row.score("official", f"published_{metric}") for row in shown]
            axis.plot(published, range(len(shown)), "D", color=COLOURS[1], fillstyle="none")
        label_axes(axis, title, "" if metric in AGREEMENT else "%")
    known = any(row.score("official", "published_acc") > 0 for row in shown)
    return add_heading(figure, describe_data(rows), INTERVALS, note, "hollow: published" if known else "")


def paired(rows: Sequence[ShownRow], reference: ShownRow | None = None) -> Figure:
    """Plots the paired differences of ACC and mIoU from one row, on the pictures of both.

    Args:
        rows: the rows, at least two.
        reference: the row with which the others are compared; None: the first row of the same method, as in an audit.
    """
    first = {row.row.name: row for row in reversed(rows)}
    shown, note = most([row for row in rows if row is not (reference or first[row.row.name])])
    panels = _score_panels(rows)
    changes = [differences(row.row, (reference or first[row.row.name]).row) for row in shown]
    figure, axes = new_figure(len(panels), [row.name for row in shown])
    for axis, (title, protocol, metric) in zip(axes, panels, strict=True):
        axis.axvline(0, color="black", linewidth=0.8)
        points = [change.get((protocol, metric)) for change in changes]
        draw_rows(axis, [(one.difference, one.low, one.high) if one else (np.nan,) * 3 for one in points])
        label_axes(axis, title, "difference (points)")
    compared = f"difference from {reference.name if reference else 'the first row of the method'}, on the same images"
    return add_heading(figure, describe_data(rows), INTERVALS, compared, note)


def classes(rows: Sequence[ShownRow], setting: str | None = None) -> Figure:
    """Draws accuracy and IoU of each class as heat maps, a column for each row, averaged over the seeds.

    Args:
        rows: the rows.
        setting: columns for its values instead, with means over the other settings.
    """
    protocol = protocols_of(rows)[-1]
    groups: dict[str, list[ShownRow]] = {}
    if setting:
        own = comparable(rows, setting)
        for value in sorted_values(row.settings[setting] for row in own):
            group = [row for row in own if row.settings[setting] == value]
            groups[group[0].text(setting)] = group
        note = _averaging_note(rows, setting, None)
    else:
        shown, note = most(seeds_together(rows))
        groups = {row.name: list(row.seeds) or [row] for row in shown}
    totals = [[row.row.counts(protocol).total for row in group] for group in groups.values()]
    present = np.flatnonzero(sum(total.tp + total.fn for group in totals for total in group))
    tables = {
        f"accuracy {protocol}": [np.mean([recall(total) for total in group], axis=0) for group in totals],
        f"IoU {protocol}": [np.mean([iou(total) for total in group], axis=0) for group in totals],
    }
    panels = {title: PERCENT * np.array(columns).T[present] for title, columns in tables.items()}
    names = [rows[0].row.classes[int(label)] for label in present]
    figure = draw_cells(panels, names, {title: list(groups) for title in panels}, "%")
    if setting:
        for axis in figure.axes[:-1]:
            axis.set_xlabel(LABELS.get(setting, setting), fontsize=FONT)
    return add_heading(figure, describe_data(rows), "accuracy: share of the class's pixels that are right", note)


def confusion(row: ShownRow, note: str = "") -> Figure:
    """Draws the confusion matrix of a row for each protocol: true class, and class of the segment, in % of the row.

    Args:
        row: a row with evaluated images.
        note: says why this row is shown.
    """
    own = row.row
    matrices = {name: own.counts(name).confusion for name in protocols_of([row])}
    present = np.flatnonzero(np.sum(list(matrices.values()), axis=0).any(axis=1))
    names = [*own.classes, NO_CLASS]
    panels, columns = {}, {}
    for protocol, matrix in matrices.items():
        shares = PERCENT * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        matched = np.flatnonzero(matrix.any(axis=0))
        panels[f"protocol {protocol}"] = shares[np.ix_(present, matched)]
        columns[f"protocol {protocol}"] = [names[label] for label in matched]
    figure = draw_cells(panels, [names[label] for label in present], columns, "% of the pixels of the true class")
    for axis in figure.axes[:-1]:
        axis.set_xlabel("class of the segment", fontsize=FONT)
        axis.set_ylabel("true class", fontsize=FONT)
    return add_heading(figure, describe_data([row]), row.name, note)


def _score_panels(rows: Sequence[ShownRow]) -> list[tuple[str, ProtocolName, str]]:
    """(title, protocol, score) of ACC and mIoU. Protocols that match within each image share one panel of ACC."""
    names = protocols_of(rows)
    within = [name for name in names if name in PROTOCOLS]
    panels: list[tuple[str, ProtocolName, str]] = [("ACC", within[0], "acc")] if within else []
    for name in names:
        if name not in within:
            panels.append((f"ACC {name}", name, "acc"))
        panels.append((f"mIoU {name}", name, "miou"))
    return panels


def _draw_lines(
    axis: Axes, rows: Sequence[ShownRow], setting: str, point: Callable[[Sequence[ShownRow]], Estimate]
) -> str | None:
    """Draws a line for each method, or for each value of the next setting that varies. Returns that setting, if any."""
    own = comparable(rows, setting)
    line = next((name for name in swept(own) if name not in (setting, "segmenter", SEED)), None)
    line = "name" if len({row.row.name for row in own}) > 1 else line
    kind = {row.name: row.row.name if line == "name" else row.settings.get(line) if line else "" for row in own}
    kinds = sorted_values(kind.values())
    groups: dict[str, dict[Hashable, list[ShownRow]]] = {}
    for row in sorted(own, key=lambda row: kinds.index(kind[row.name])):
        name = str(kind[row.name]) if line in (None, "name") else row.text(str(line)) or "-"
        groups.setdefault(name, {}).setdefault(row.settings[setting], []).append(row)
    lines = {name: {value: point(group) for value, group in at.items()} for name, at in groups.items()}
    draw_lines(axis, lines, {row.settings[setting]: row.text(setting) for row in own})
    return line


def _finish_lines(figure: Figure, rows: Sequence[ShownRow], setting: str, line: str | None, note: str = "") -> Figure:
    if line:
        add_legend(figure, figure.axes[0], LABELS.get(line, line))
    return add_heading(figure, describe_data(rows), INTERVALS, note, _averaging_note(rows, setting, line))


def _averaging_note(rows: Sequence[ShownRow], setting: str, line: str | None) -> str:
    """Names the settings over which a plot averages; "" if it does not average."""
    others = [name for name in swept(comparable(rows, setting)) if name not in (setting, line, "segmenter")]
    return f"mean over {', '.join(others)}" if others else ""


def _mean_segments(rows: Sequence[ShownRow]) -> Estimate:
    """Mean over the images of the mean over the rows, and its bootstrap interval."""
    by_image: dict[str, list[int]] = {}
    for row in rows:
        for record in row.row.evaluated:
            by_image.setdefault(record.picture, []).append(record.segments)
    means = [float(np.mean(counts)) for counts in by_image.values()]
    return float(np.mean(means)), *(bootstrap_mean(means) if len(means) > 1 else (np.nan, np.nan))
