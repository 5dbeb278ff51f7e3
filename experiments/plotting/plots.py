"""Plots of rows (`experiments.plotting.shown`): scores against settings, methods side by side, classes.

Scores are those of the tables: in percent, of the pixels of all images together, with 95 % bootstrap intervals over the
images. If a point is a mean over rows, the heading says over which settings, and the ends of its interval are means,
too. Every function takes rows of one data set and frame, returns a new figure, and needs neither pyplot nor a display.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.matching import Counts
from eval.metrics import bootstrap_mean, iou
from eval.protocols import PROTOCOLS, ProtocolName
from eval.results.tables import PERCENT
from eval.scores import confusion_matrix
from experiments.compare.comparing import differences
from experiments.plotting.drawing import (
    COLOURS,
    FONT,
    GREY,
    LABELS,
    Estimate,
    Lines,
    add_heading,
    add_legend,
    draw_cells,
    draw_lines,
    draw_rows,
    label_axes,
    new_figure,
)
from experiments.plotting.shown import (
    INTERVALS,
    SEED,
    PlotError,
    ShownRow,
    comparable,
    criterion,
    describe_data,
    most,
    protocols_of,
    seeds_together,
    sorted_values,
    swept,
)

AGREEMENT = {"ari": "adjusted Rand index (%)", "voi": "variation of information (bits)", "covering": "covering (%)"}
NO_CLASS = "(none)"
Panel = tuple[str, ProtocolName, str]
"""Title, protocol and score of a panel."""


def scores(rows: Sequence[ShownRow], setting: str) -> Figure:
    """Plots ACC and mIoU against a setting; the lines are the methods, or else the next setting that varies.

    Raises:
        PlotError: the setting has fewer than two values.
    """
    panels = _score_panels(rows)
    figure, axes = new_figure(len(panels))
    for axis, (title, protocol, metric) in zip(axes, panels, strict=True):
        _draw_lines(axis, rows, setting, partial(_mean_estimate, protocol, metric))
        label_axes(axis, title, LABELS.get(setting, setting), "%")
    return _finish_lines(figure, rows, setting, INTERVALS)


def segments(rows: Sequence[ShownRow], setting: str) -> Figure:
    """Plots segments per image against a setting; dashed: classes per image. See `scores`."""
    figure, (axis,) = new_figure(1)
    most_images = max(rows, key=lambda row: len(row.row.evaluated))
    truth = [int((table.dense().sum(axis=1) > 0).sum()) for table in most_images.row.tables()]
    if truth:
        axis.axhline(float(np.mean(truth)), color=GREY, linestyle="--", zorder=0)
    _draw_lines(axis, rows, setting, _mean_segments)
    axis.set_ylim(bottom=0)
    label_axes(axis, "", LABELS.get(setting, setting), "segments per image")
    return _finish_lines(figure, rows, setting, INTERVALS, "dashed: classes per image in the ground truth")


def methods(rows: Sequence[ShownRow]) -> Figure:
    """Plots the scores of every row with their intervals, averaged over the seeds; hollow: published scores."""
    shown, note = most(seeds_together(rows))
    panels: list[Panel] = _score_panels(rows)
    panels += [(title, protocols_of(rows)[0], metric) for metric, title in AGREEMENT.items()]
    figure, axes = new_figure(len(panels), [row.name for row in shown])
    for axis, (title, protocol, metric) in zip(axes, panels, strict=True):
        draw_rows(axis, [row.estimate(protocol, metric) for row in shown])
        published = [row.score("official", f"published_{metric}") for row in shown]
        if protocol == "official":
            axis.plot(published, range(len(shown)), "D", color=COLOURS[1], fillstyle="none")
        label_axes(axis, title, "" if metric in AGREEMENT else "%")
    known = any(row.score("official", "published_acc") > 0 for row in shown)
    return add_heading(figure, describe_data(rows), INTERVALS, note, "hollow: published" if known else "")


def paired(rows: Sequence[ShownRow], reference: ShownRow | None = None) -> Figure:
    """Plots the paired differences of ACC and mIoU from one row, on the pictures of both.

    Args:
        rows: the rows.
        reference: the row with which the others are compared; None: the first row of the same method, as in an audit.

    Raises:
        PlotError: there is no row to compare.
    """
    first: dict[str, ShownRow] = {}
    for row in rows:
        first.setdefault(row.row.name, row)
    shown, note = most([row for row in rows if row is not (reference or first[row.row.name])])
    if not shown:
        raise PlotError("there is no second row to compare")
    panels = _score_panels(rows)
    changes = [differences(row.row, (reference or first[row.row.name]).row) for row in shown]
    figure, axes = new_figure(len(panels), [row.name for row in shown])
    for axis, (title, protocol, metric) in zip(axes, panels, strict=True):
        axis.axvline(0, color="black", linewidth=0.8)
        points = [change.get((protocol, metric)) for change in changes]
        draw_rows(axis, [(each.difference, each.low, each.high) if each else (np.nan,) * 3 for each in points])
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
    note = ""
    if setting:
        own = comparable(rows, setting)
        values = sorted_values(row.settings[setting] for row in own)
        groups = {
            _text(own, setting, value): [row for row in own if row.settings[setting] == value] for value in values
        }
        note = _averaging_note(rows, setting, None)
    else:
        shown, note = most(seeds_together(rows))
        groups = {row.name: list(row.seeds) or [row] for row in shown}
    totals = [[class_counts(row, protocol) for row in group] for group in groups.values()]
    present = np.flatnonzero(sum(total.tp + total.fn for group in totals for total in group))
    tables = {
        f"accuracy {protocol}": [np.mean([class_accuracy(total) for total in group], axis=0) for group in totals],
        f"IoU {protocol}": [np.mean([iou(total) for total in group], axis=0) for group in totals],
    }
    panels = {title: PERCENT * np.array(columns).T[present] for title, columns in tables.items()}
    names = [rows[0].row.classes[int(label)] for label in present]
    figure = draw_cells(panels, names, {title: list(groups) for title in panels}, "%")
    if setting:
        for axis in figure.axes[:-1]:
            axis.set_xlabel(LABELS.get(setting, setting), fontsize=FONT)
    return add_heading(figure, describe_data(rows), "accuracy: share of the class's pixels that are right", note)


def class_counts(row: ShownRow, protocol: ProtocolName) -> Counts:
    """Counts of all images of a row."""
    return row.row.counts(protocol).total


def class_accuracy(total: Counts) -> NDArray[np.float64]:
    """Share of the pixels of each class that are right (recall), ``(classes,)`` in [0, 1]; NaN without pixels."""
    pixels = total.tp + total.fn
    return np.divide(total.tp, pixels, out=np.full(len(pixels), np.nan), where=pixels > 0)


def confusion(row: ShownRow, note: str = "") -> Figure:
    """Draws the confusion matrix of a row for each protocol: true class, and class of the segment, in % of the row.

    Args:
        row: a row with evaluated images.
        note: says why this row is shown.
    """
    own = row.row
    matrices = {
        name: confusion_matrix(own.tables(), name, own.background, own.reads_files) for name in protocols_of([row])
    }
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


def best_note(rows: Sequence[ShownRow]) -> str:
    """Says why a confusion matrix shows the best row."""
    return f"the best row by {criterion(rows)}" if len(rows) > 1 else ""


def _score_panels(rows: Sequence[ShownRow]) -> list[Panel]:
    """The panels of ACC and mIoU. Protocols that match within each image share one panel of ACC."""
    names = protocols_of(rows)
    within = [name for name in names if name in PROTOCOLS]
    panels: list[Panel] = [("ACC", within[0], "acc")] if within else []
    for name in names:
        if name not in within:
            panels.append((f"ACC {name}", name, "acc"))
        panels.append((f"mIoU {name}", name, "miou"))
    return panels


def _line_setting(rows: Sequence[ShownRow], setting: str) -> str | None:
    """The setting that the lines of a plot show: ``name`` (the method), else the next that varies, else None."""
    own = comparable(rows, setting)
    if len({row.row.name for row in own}) > 1:
        return "name"
    return next((name for name in swept(own) if name not in (setting, "segmenter", SEED)), None)


def _draw_lines(
    axis: object, rows: Sequence[ShownRow], setting: str, point: Callable[[Sequence[ShownRow]], Estimate]
) -> None:
    own, line = comparable(rows, setting), _line_setting(rows, setting)
    values = sorted_values(row.settings[setting] for row in own)
    if len(values) < 2:
        raise PlotError(f"{setting}: these rows have fewer than two values of it; sweep it with -m")
    groups: dict[str, dict[Hashable, list[ShownRow]]] = {}
    kinds = sorted_values(_line_of(row, line) for row in own)
    for kind in kinds:
        members = [row for row in own if _line_of(row, line) == kind]
        name = str(kind) if line in (None, "name") else _text(members, str(line), kind)
        at = {value: [row for row in members if row.settings[setting] == value] for value in values}
        groups[name] = {value: group for value, group in at.items() if group}
    lines: Lines = {name: {value: point(group) for value, group in at.items()} for name, at in groups.items()}
    texts: Mapping[Hashable, str] = {value: _text(own, setting, value) for value in values}
    draw_lines(axis, lines, texts)  # type: ignore[arg-type]


def _line_of(row: ShownRow, line: str | None) -> Hashable:
    return "" if line is None else row.row.name if line == "name" else row.settings.get(line)


def _text(rows: Sequence[ShownRow], setting: str, value: Hashable) -> str:
    """A value of a setting in the notation of the command line."""
    return next((row.text(setting) for row in rows if row.settings.get(setting) == value), "-") or "-"


def _finish_lines(figure: Figure, rows: Sequence[ShownRow], setting: str, *notes: str) -> Figure:
    line = _line_setting(rows, setting)
    if line:
        add_legend(figure, figure.axes[0], LABELS.get(line, line))
    return add_heading(figure, describe_data(rows), *notes, _averaging_note(rows, setting, line))


def _averaging_note(rows: Sequence[ShownRow], setting: str, line: str | None) -> str:
    """Names the settings over which a plot averages; "" if it does not average."""
    others = [name for name in swept(comparable(rows, setting)) if name not in (setting, line, "segmenter")]
    return f"mean over {', '.join(others)}" if others else ""


def _mean_estimate(protocol: ProtocolName, metric: str, rows: Sequence[ShownRow]) -> Estimate:
    value, low, high = np.mean([row.estimate(protocol, metric) for row in rows], axis=0)
    return value, low, high


def _mean_segments(rows: Sequence[ShownRow]) -> Estimate:
    """Mean over the images of the mean over the rows, and its bootstrap interval."""
    by_image: dict[str, list[int]] = {}
    for row in rows:
        for record in row.row.evaluated:
            by_image.setdefault(record.picture, []).append(record.segments)
    means = [float(np.mean(counts)) for counts in by_image.values()]
    if len(means) < 2:
        return means[0] if means else np.nan, np.nan, np.nan
    return float(np.mean(means)), *bootstrap_mean(means)
