"""Plots of results (`experiments.results`): scores against parameters, methods side by side, images, classes.

Scores are in percent with their 95 % bootstrap intervals over the images. Where a point is the mean over settings, the
title says so, and the ends of its interval are means as well. Every function returns a figure that belongs to nobody
else: no pyplot, no display.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from eval.protocols import PROTOCOLS
from eval.tables import PERCENT
from experiments.comparisons import (
    MOST_ROWS,
    Point,
    best,
    by_image,
    comparable,
    contrast,
    mean_interval,
    reported,
    seeds_together,
    shown_settings,
)
from experiments.drawing import (
    COLOURS,
    FONT,
    GREY,
    LABELS,
    Lines,
    draw_lines,
    draw_rows,
    ends,
    head,
    in_order,
    label,
    legend,
    list_numbers,
    new_figure,
    number_points,
    scale_counts,
    wrapped,
)
from experiments.results import Results, swept

NOT_AN_AXIS = ("dataset", "label_source", "segmenter", "seed")
OUTLIERS = 6
ROUND = 20  # percent: the scatter plots end at a multiple
INTERVALS = "95 % intervals"
TABLES = ("summary", "per_class", "per_image")


def all_plots(results: Results) -> dict[str, Figure]:
    """Every plot that the results allow, by name (fit for a file); for each data set, where there are several."""
    datasets = list(results.summary["dataset"].unique())
    plots: dict[str, Figure] = {}
    for dataset in datasets:
        tables = {name: getattr(results, name) for name in TABLES}
        own = replace(results, **{name: table[table["dataset"] == dataset] for name, table in tables.items()})
        prefix = f"{dataset}_" if len(datasets) > 1 else ""
        plots |= {f"{prefix}{name}": figure for name, figure in _plots(own).items()}
    if not results.audit.empty:
        plots["audit"] = audit(results)
    return plots


def _plots(results: Results) -> dict[str, Figure]:
    """Those of one data set."""
    plots: dict[str, Figure] = {}
    if not results.summary["images"].any():  # all failed
        return plots
    axes = [
        parameter
        for parameter in swept(results.summary)
        if parameter not in NOT_AN_AXIS and comparable(results.summary, parameter)[parameter].nunique() > 1
    ]
    plots |= {f"score_{parameter}": scores(results, parameter) for parameter in axes}
    plots |= {f"segments_{parameter}": segments(results, parameter) for parameter in axes}
    if results.summary["setting"].nunique() > 1:
        first, second = contrast(results.summary)
        plots["methods"] = methods(results)
        plots["paired"] = paired(results, best(results.summary))
        plots["images"] = images(results, first, second)
        plots["classes"] = classes(results, first, second)
        if set(results.summary["protocol"]) == set(PROTOCOLS):
            plots["protocols"] = protocols(results)
    return plots


def scores(results: Results, parameter: str, line: str | None = None) -> Figure:
    """ACC and mIoU against a parameter.

    Args:
        results: of one data set.
        parameter: column of the summary, see `eval.columns.setting_columns`.
        line: another, or ``name``, the method: a line for each of its values. "": one line. None: the methods, or
            the next parameter that varies with this one. Over what else varies, the mean is taken.

    Raises:
        ValueError: the parameter has fewer than two values.
    """
    line = _line(results.summary, parameter) if line is None else line
    panels = _panels(results.summary)
    figure, axes = new_figure(len(panels))
    for axis, (title, protocol, metric) in zip(axes, panels, strict=True):
        rows = results.summary[results.summary["protocol"] == protocol]
        draw_lines(axis, _lines(rows, parameter, line, partial(_mean_score, metric)))
        label(axis, title, LABELS.get(parameter, parameter), "%")
    if line:
        legend(figure, axes[0], LABELS.get(line, line))
    return head(figure, _about(results), INTERVALS, _averaged(results.summary, parameter, line))


def segments(results: Results, parameter: str, line: str | None = None) -> Figure:
    """Segments an image against a parameter, as `scores`; dashed, the classes an image has in the ground truth."""
    line = _line(results.summary, parameter) if line is None else line
    figure, (axis,) = new_figure(1)
    rows = _once(results.per_image)
    draw_lines(axis, _lines(rows, parameter, line, lambda own: mean_interval(own.groupby("image")["segments"].mean())))
    classes = _once(results.per_class).groupby("setting")["images"].sum()
    images = _once(results.summary).set_index("setting")["images"]
    truth = (classes / images)[images.idxmax()]  # of the setting with the fewest failures
    axis.axhline(truth, color=GREY, linestyle="--", zorder=0, label="classes in the truth")
    scale_counts(axis, "y", rows.groupby("setting")["segments"].mean())
    label(axis, "", LABELS.get(parameter, parameter), "segments an image")
    legend(figure, axis, LABELS.get(line, line) if line else "")
    return head(figure, _about(results), INTERVALS, _averaged(results.summary, parameter, line))


def methods(results: Results) -> Figure:
    """Every setting with its intervals, seeds averaged; hollow, what the paper publishes.

    Of more than `MOST_ROWS` settings, the best by mIoU.
    """
    summary = seeds_together(results.summary)
    shown, title = shown_settings(summary)
    panels = _panels(summary)
    figure, axes = new_figure(len(panels), shown)
    for axis, (panel, protocol, metric) in zip(axes, panels, strict=True):
        own = summary[summary["protocol"] == protocol].set_index("setting").loc[shown]
        draw_rows(axis, own[metric], own[f"{metric}_low"], own[f"{metric}_high"])
        if protocol == "official":
            axis.plot(own[f"published_{metric}"], range(len(own)), "D", color=COLOURS[1], fillstyle="none")
        label(axis, panel, "%")
    hollow = "hollow: published" if summary["published_acc"].notna().any() else ""
    return head(figure, _about(results), INTERVALS, title, hollow)


def paired(results: Results, reference: str) -> Figure:
    """How far each setting is from a reference on the same images; of many settings, the best by mIoU.

    The mean over the images of the change in an image's own ACC and mIoU, with its 95 % bootstrap interval: what makes
    an image hard cancels out. Where the interval holds 0, the change may be chance.
    """
    shown, title = shown_settings(results.summary[results.summary["setting"] != reference])
    panels = _panels(results.summary)
    figure, axes = new_figure(len(panels), shown)
    for axis, (panel, protocol, metric) in zip(axes, panels, strict=True):
        table = by_image(results.per_image, protocol, metric)
        points = [mean_interval(table[setting] - table[reference]) for setting in shown]
        axis.axvline(0, color="black", linewidth=0.8)
        draw_rows(axis, *np.array(points).T)
        label(axis, panel, "mean change (points)")
    return head(figure, _about(results), INTERVALS, f"change from {reference}", title)


def images(results: Results, first: str, second: str) -> Figure:
    """Where two settings disagree: each image's own ACC and mIoU under both, those furthest apart by mIoU numbered."""
    panels = _panels(results.summary)
    tables = {
        title: by_image(results.per_image, protocol, metric)[[first, second]].dropna()
        for title, protocol, metric in panels
    }
    last = tables[panels[-1][0]]
    furthest = (last[second] - last[first]).sort_values(key=abs, ascending=False, kind="stable")[:OUTLIERS]
    figure, axes = new_figure(len(panels))
    for axis, (title, table) in zip(axes, tables.items(), strict=True):
        end = min(PERCENT, ROUND * (1 + table.to_numpy().max(initial=0) // ROUND))
        axis.axline((0, 0), slope=1, color=GREY, zorder=0)
        axis.plot(table[first], table[second], "o", color=COLOURS[0], markersize=4, alpha=0.6, clip_on=False)
        number_points(axis, list(table.loc[furthest.index].itertuples(index=False, name=None)), end)
        mean, low, high = mean_interval(table[second] - table[first])
        label(axis, f"{title}\nmean change {mean:+.1f} [{low:+.1f}, {high:+.1f}]", wrapped(f"{first} (%)"))
        axis.set(xlim=(0, end), ylim=(0, end), aspect="equal")
        ticks = np.arange(0, end + 1, ROUND if end > 2 * ROUND else ROUND / 2)
        axis.set(xticks=ticks, yticks=ticks)
    axes[0].set_ylabel(wrapped(f"{second} (%)"), fontsize=FONT)
    list_numbers(figure, list(furthest.index), "image")
    return head(figure, _about(results), f"each point an image; numbered: the {len(furthest)} furthest apart by mIoU")


def classes(results: Results, first: str, second: str) -> Figure:
    """IoU of each class in two settings, ordered by the change; in brackets, the images that have the class."""
    rows = results.per_class[results.per_class["images"] > 0]
    own = _once(rows)
    counts = own.groupby("class")["images"].first()
    names = reported(rows)
    tables = {
        (protocol, setting): rows[(rows["protocol"] == protocol) & (rows["setting"] == setting)].set_index("class")
        for protocol in names
        for setting in (first, second)
    }
    change = tables[names[-1], second]["iou"] - tables[names[-1], first]["iou"]
    order = list(change.sort_values(ascending=False).index)
    figure, axes = new_figure(len(names), [f"{name} ({counts[name]})" for name in order])
    for axis, protocol in zip(axes, names, strict=True):
        for number, setting in enumerate((first, second)):
            own = tables[protocol, setting].loc[order]
            draw_rows(axis, own["iou"], own["iou_low"], own["iou_high"], number, setting)
        label(axis, f"IoU {protocol}", "IoU (%)")
    legend(figure, axes[0], "", below=True)
    return head(figure, _about(results), INTERVALS, "in brackets: images with the class; ordered by the change")


def protocols(results: Results) -> Figure:
    """mIoU of each setting in score ``official`` and in ``present``, and the gap between them against the segments."""
    columns = ["miou", "miou_low", "miou_high", "segments"]
    table = results.summary.pivot(index="setting", columns="protocol", values=columns).dropna()
    x, y = (table.xs(protocol, axis=1, level="protocol") for protocol in PROTOCOLS)
    (x_ends, y_ends) = (ends(each["miou"], each["miou_low"], each["miou_high"]) for each in (x, y))
    figure, (left, right) = new_figure(2)
    left.axline((x["miou"].mean(), x["miou"].mean()), slope=1, color=GREY, zorder=0)
    drawn = left.errorbar(x["miou"], y["miou"], y_ends, x_ends, "o", color=COLOURS[0], elinewidth=0.5, markersize=4)
    for bars in drawn.lines[2]:
        bars.set_alpha(min(1, MOST_ROWS / len(table)))  # many would hide the points
    label(left, "", "mIoU official (%)", "mIoU present (%)")
    right.plot(x["segments"], y["miou"] - x["miou"], "o", color=COLOURS[0], markersize=4)
    right.set_ylim(bottom=0)
    scale_counts(right, "x", x["segments"])
    label(right, "", "segments an image", "mIoU present - official (points)")
    return head(figure, _about(results), INTERVALS, "each point a setting")


def audit(results: Results) -> Figure:
    """How far each choice of the protocol moves the scores of its method, from ``audit.csv``."""
    table = results.audit[results.audit["choice"] != ""]
    several = table["job"].nunique() > 1
    names = table["method"] + ", " + table["choice"] + (" (" + table["job"] + ")" if several else "")
    order = list(names.unique())
    panels = _panels(table)
    figure, axes = new_figure(len(panels), order)
    for axis, (panel, protocol, metric) in zip(axes, panels, strict=True):
        chosen = table["protocol"] == protocol
        own = table[chosen].set_axis(names[chosen]).reindex(order)
        axis.axvline(0, color="black", linewidth=0.8)
        draw_rows(axis, *(own[f"{metric}_change{end}"] for end in ("", "_low", "_high")))
        label(axis, panel, "change (points)")
    return head(figure, _about(results), INTERVALS, "change from the first row of the method, on the same images")


def _about(results: Results) -> str:
    """Of which data the plots are."""
    summary = results.summary
    names = ", ".join(dict.fromkeys([*summary["dataset"], *summary["backbone"]]))
    return f"{names}, {summary['images'].max()} images"


def _panels(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Title, protocol and metric of each panel. The protocols have the same ACC."""
    names = reported(table)
    return [("ACC", names[0], "acc"), *((f"mIoU {name}", name, "miou") for name in names)]


def _line(summary: pd.DataFrame, parameter: str) -> str:
    """What to draw lines of when nothing is said, see `scores`."""
    rows = comparable(summary, parameter)
    if rows["name"].nunique() > 1:
        return "name"
    return next((name for name in swept(rows) if name not in (parameter, *NOT_AN_AXIS)), "")


def _lines(table: pd.DataFrame, parameter: str, line: str, point: Callable[[pd.DataFrame], Point]) -> Lines:
    """The point of every group of rows, see `Lines`."""
    rows = comparable(table, parameter)
    if len(values := rows[parameter].unique()) < 2:
        raise ValueError(f"{parameter}: these results have {' '.join(values) or 'no value'} alone; sweep it with -m")
    groups = {value: rows[rows[line] == value] for value in in_order(list(rows[line].unique()))} if line else {"": rows}
    return {
        value: {str(x): point(group) for x, group in own.groupby(parameter, sort=False)}
        for value, own in groups.items()
    }


def _mean_score(metric: str, rows: pd.DataFrame) -> Point:
    """A score and the ends of its interval, each the mean over the rows."""
    value, low, high = rows[[metric, f"{metric}_low", f"{metric}_high"]].mean()
    return value, low, high


def _averaged(summary: pd.DataFrame, parameter: str, line: str) -> str:
    """Says over what a plot against a parameter takes the mean."""
    others = [name for name in swept(comparable(summary, parameter)) if name not in (parameter, line, "segmenter")]
    return f"mean over {', '.join(others)}" if others else ""


def _once(table: pd.DataFrame) -> pd.DataFrame:
    """What does not depend on the protocol, once."""
    return table[table["protocol"] == table["protocol"].iloc[0]]
