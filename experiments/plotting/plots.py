"""Plots of results (`eval.results.reading`): scores against parameters, methods side by side, images, classes.

Scores are those of the tables: in percent, of the pixels of all images together, with 95 % bootstrap intervals over the
images. Only `images` shows the scores of each image. The title says which settings are shown or compared, and by which
score they were chosen (`experiments.plotting.selection.criterion`). If a point is a mean over settings, the title says
so, and the ends of its interval are means, too. Every function returns a new figure, and needs neither pyplot nor a
display.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from eval.results.reading import Results
from matplotlib.figure import Figure

from eval.protocols import PROTOCOLS
from eval.results.comparisons import change, counts_by_image, mean_interval
from eval.results.tables import PERCENT
from experiments.plotting import curves
from experiments.plotting.drawing import (
    COLOURS,
    FONT,
    GREY,
    LABELS,
    MARKERS,
    add_heading,
    add_legend,
    add_number_legend,
    draw_lines,
    draw_points,
    draw_rows,
    label_axes,
    new_figure,
    number_points,
    scale_counts,
    sorted_values,
    wrap_name,
)
from experiments.plotting.selection import (
    INTERVALS,
    MOST_ROWS,
    best,
    by_image,
    check_settings,
    criterion,
    describe_data,
    distinguishing_column,
    reported_protocols,
    rows_of_one_protocol,
    seeds_together,
    shown_settings,
)

OUTLIERS = 6
ROUND = 20  # percent: the axes of the scatter plots end at a multiple of this


def scores(results: Results, parameter: str, line: str | None = None) -> Figure:
    """Plots ACC and mIoU against a parameter.

    Args:
        results: results of one data set.
        parameter: column of the summary, see `eval.results.columns.setting_columns`.
        line: another parameter, or ``name`` (the method), whose values become separate lines. "": a single line. None:
            the method, or else the next parameter that varies. Points are means over all other parameters.

    Raises:
        ResultsError: the parameter has fewer than two values.
    """
    line = curves.default_line(results.summary, parameter) if line is None else line
    panels = _score_panels(results.summary)
    figure, axes = new_figure(len(panels))
    for axis, (title, protocol, metric) in zip(axes, panels, strict=True):
        rows = results.summary[results.summary["protocol"] == protocol]
        draw_lines(axis, curves.points_by_line(rows, parameter, line, partial(curves.mean_score, metric)))
        label_axes(axis, title, LABELS.get(parameter, parameter), "%")
    if line:
        add_legend(figure, axes[0], LABELS.get(line, line))
    return add_heading(
        figure, describe_data(results), INTERVALS, curves.averaging_note(results.summary, parameter, line)
    )


def segments(results: Results, parameter: str, line: str | None = None) -> Figure:
    """Plots segments per image against a parameter; dashed: classes per image. Arguments as in `scores`."""
    line = curves.default_line(results.summary, parameter) if line is None else line
    figure, (axis,) = new_figure(1)
    rows = rows_of_one_protocol(results.per_image)
    classes = rows_of_one_protocol(results.per_class).groupby("setting")["images"].sum()
    images = rows_of_one_protocol(results.summary).set_index("setting")["images"]
    truth = (classes / images)[images.idxmax()]  # of the setting with the fewest failures
    axis.axhline(truth, color=GREY, linestyle="--", zorder=0)
    draw_lines(
        axis,
        curves.points_by_line(
            rows, parameter, line, lambda group: mean_interval(group.groupby("image")["segments"].mean())
        ),
    )
    scale_counts(axis, "y", rows.groupby("setting")["segments"].mean())
    label_axes(axis, "", LABELS.get(parameter, parameter), "segments per image")
    if line:
        add_legend(figure, axis, LABELS.get(line, line))
    dashed = "dashed: classes per image in the ground truth"
    return add_heading(
        figure, describe_data(results), INTERVALS, dashed, curves.averaging_note(results.summary, parameter, line)
    )


def methods(results: Results) -> Figure:
    """Plots every setting with its intervals, averaged over the seeds; hollow: the published scores.

    If there are more than `MOST_ROWS` settings, only the best by mIoU are shown.
    """
    summary = seeds_together(results.summary)
    shown, title = shown_settings(summary)
    panels = _score_panels(summary)
    figure, axes = new_figure(len(panels), shown)
    for axis, (panel, protocol, metric) in zip(axes, panels, strict=True):
        lines = summary[summary["protocol"] == protocol].set_index("setting").loc[shown]
        draw_rows(axis, lines[metric], lines[f"{metric}_low"], lines[f"{metric}_high"])
        if protocol == "official":
            axis.plot(lines[f"published_{metric}"], range(len(lines)), "D", color=COLOURS[1], fillstyle="none")
        label_axes(axis, panel, "%")
    hollow = "hollow: published" if summary["published_acc"].notna().any() else ""
    return add_heading(figure, describe_data(results), INTERVALS, title, hollow)


def paired(results: Results, reference: str) -> Figure:
    """Plots the difference between the scores of each setting and those of a reference.

    Differences have paired 95 % bootstrap intervals (`eval.results.comparisons.change`): both settings are scored on
    the same resamples, so the difficulty of an image cancels out. If the interval contains 0, the difference may be
    chance. Images on which either setting failed are left out. If there are more than `MOST_ROWS` settings, only the
    best by mIoU are shown.

    Raises:
        ResultsError: the results do not have the reference.
    """
    check_settings(results.summary, [reference])
    shown, title = shown_settings(results.summary[results.summary["setting"] != reference])
    panels = _score_panels(results.summary)
    counts = {
        (protocol, setting): counts_by_image(results.per_image, protocol, setting)
        for protocol in reported_protocols(results.summary)
        for setting in (reference, *shown)
    }
    changes = {
        protocol: [change(counts[protocol, reference], counts[protocol, setting]) for setting in shown]
        for protocol in reported_protocols(results.summary)
    }
    figure, axes = new_figure(len(panels), shown)
    for axis, (panel, protocol, metric) in zip(axes, panels, strict=True):
        axis.axvline(0, color="black", linewidth=0.8)
        draw_rows(axis, *np.array([each[metric] for each in changes[protocol]]).T)
        label_axes(axis, panel, "change (points)")
    why = f", the best by {criterion(results.summary)}" if reference == best(results.summary) else ""
    return add_heading(figure, describe_data(results), f"change from {reference}{why}", f"paired {INTERVALS}", title)


def images(results: Results, first: str, second: str, chosen: str = "") -> Figure:
    """Plots ACC and mIoU of each image under two settings, one against the other.

    The images with the largest difference of mIoU are numbered. The mean of these scores over the images is not a score
    of the tables (see `paired`).

    Args:
        results: results of one data set.
        first, second: settings.
        chosen: a text for the heading that says how the settings were chosen, see
            `experiments.plotting.selection.contrast`.
    """
    panels = _score_panels(results.summary)
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
        clip = table.empty  # matplotlib's layout fails on an empty line without clipping
        axis.plot(table[first], table[second], "o", color=COLOURS[0], markersize=4, alpha=0.6, clip_on=clip)
        number_points(axis, table.loc[furthest.index], end, table)
        label_axes(axis, f"{title} of each image", wrap_name(f"{first} (%)"))
        axis.set(xlim=(0, end), ylim=(0, end), aspect="equal")
        ticks = np.arange(0, end + 1, ROUND if end > 2 * ROUND else ROUND / 2)
        axis.set(xticks=ticks, yticks=ticks)
    axes[0].set_ylabel(wrap_name(f"{second} (%)"), fontsize=FONT)
    add_number_legend(figure, list(furthest.index), "image")
    numbered = f"numbered: the {len(furthest)} furthest apart by {criterion(results.summary)}"
    return add_heading(figure, describe_data(results), "each point an image", chosen, numbered)


def classes(results: Results, first: str, second: str, chosen: str = "") -> Figure:
    """Plots IoU of each class under two settings, ordered by the change. Arguments as in `images`."""
    rows = results.per_class[results.per_class["images"] > 0]
    counts = rows_of_one_protocol(rows).groupby("class")["images"].first()
    names = reported_protocols(rows)
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
            table = tables[protocol, setting].loc[order]
            draw_rows(axis, table["iou"], table["iou_low"], table["iou_high"], number, setting)
        label_axes(axis, f"IoU {protocol}", "IoU (%)")
    add_legend(figure, axes[0], "", below=True)
    return add_heading(
        figure,
        describe_data(results),
        chosen,
        INTERVALS,
        "in brackets: images that have the class; ordered by the change",
    )


def protocols(results: Results) -> Figure:
    """Plots mIoU ``official`` against mIoU ``present`` of each setting, and their gap against segments per image.

    If there are few settings, each has a different colour. Otherwise the colour shows the method, or else a parameter.
    """
    columns = ["miou", "miou_low", "miou_high", "segments"]
    order = results.summary["setting"].unique()
    table = results.summary.pivot(index="setting", columns="protocol", values=columns).loc[order].dropna()
    by = distinguishing_column(results.summary, min(len(COLOURS), len(MARKERS)))
    rows = results.summary.drop_duplicates("setting").set_index("setting", drop=False).loc[table.index]
    groups = {name: table[rows[by] == name] for name in sorted_values(list(rows[by].unique()))} if by else {"": table}
    figure, (left, right) = new_figure(2)
    middle = table["miou"].mean().mean()
    left.axline((middle, middle), slope=1, color=GREY, zorder=0)
    faint = min(1, MOST_ROWS / max(len(table), 1))  # many bars would hide the points
    for number, (name, group) in enumerate(groups.items()):
        x, y = (group.xs(protocol, axis=1, level="protocol") for protocol in PROTOCOLS)
        draw_points(left, x, y, "miou", number, name, faint)
        right.plot(x["segments"], y["miou"] - x["miou"], MARKERS[number], color=COLOURS[number], markersize=4)
    label_axes(left, "", "mIoU official (%)", "mIoU present (%)")
    right.set_ylim(bottom=0)
    scale_counts(right, "x", table["segments", PROTOCOLS[0]])
    label_axes(right, "", "segments per image", "mIoU present - official (points)")
    if by:
        add_legend(figure, left, LABELS.get(by, by))
    return add_heading(figure, describe_data(results), INTERVALS, "each point a setting")


def audit(results: Results) -> Figure:
    """Plots how much each choice of the protocol changes the scores of its method, from ``audit.csv``."""
    table = results.audit[results.audit["choice"] != ""]
    several = table["job"].nunique() > 1
    names = table["method"] + ", " + table["choice"] + (" (" + table["job"] + ")" if several else "")
    order = list(names.unique())
    panels = _score_panels(table)
    figure, axes = new_figure(len(panels), order)
    for axis, (panel, protocol, metric) in zip(axes, panels, strict=True):
        chosen = table["protocol"] == protocol
        lines = table[chosen].set_axis(names[chosen]).reindex(order)
        axis.axvline(0, color="black", linewidth=0.8)
        draw_rows(axis, *(lines[f"{metric}_change{end}"] for end in ("", "_low", "_high")))
        label_axes(axis, panel, "change (points)")
    return add_heading(
        figure, describe_data(results), INTERVALS, "change from the first row of the method, on the same images"
    )


def _score_panels(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Title, protocol and metric of each panel. Protocols that match within each image share one panel of ACC."""
    names = reported_protocols(table)
    within = [name for name in names if name in PROTOCOLS]
    panels: list[tuple[str, str, str]] = [("ACC", within[0], "acc")] if within else []
    for name in names:
        if name not in within:
            panels.append((f"ACC {name}", name, "acc"))
        panels.append((f"mIoU {name}", name, "miou"))
    return panels
