"""Draws all plots of runs, for ``make figures`` and ``make report``."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from eval.protocols import needs_classes
from experiments.plotting import plots
from experiments.plotting.scale_plots import scale_plots
from experiments.plotting.shown import ShownRow, axis_settings, by_dataset, find_row, ranked


def all_plots(rows: Sequence[ShownRow], reference: str | None = None) -> dict[str, Figure]:
    """Draws every plot that the rows allow; returns name -> figure. Names are valid file names.

    Args:
        rows: rows of any number of data sets and frames, which are plotted separately.
        reference: name of a row. Rows of its data set are compared with it; None: each with the best row.

    Raises:
        PlotError: there is no such row.
    """
    chosen = find_row(rows, reference) if reference else None
    groups = by_dataset(rows)
    several_frames = len({dataset for dataset, _ in groups}) < len(groups)
    figures: dict[str, Figure] = {}
    for (dataset, frame), group in groups.items():
        prefix = f"{dataset}_{frame}_" if several_frames else f"{dataset}_" if len(groups) > 1 else ""
        own = chosen if chosen in group else None
        figures |= {f"{prefix}{name}": figure for name, figure in _plots_of_dataset(group, own).items()}
    return figures


def _plots_of_dataset(rows: Sequence[ShownRow], reference: ShownRow | None) -> dict[str, Figure]:
    evaluated = [row for row in rows if row.row.evaluated and any(map(needs_classes, row.scores))]
    figures = scale_plots(rows)
    if not evaluated:
        return figures
    for setting in axis_settings(evaluated):
        figures[f"score_{setting}"] = plots.scores(evaluated, setting)
        figures[f"segments_{setting}"] = plots.segments(evaluated, setting)
        figures[f"classes_{setting}"] = plots.classes(evaluated, setting)
    best = ranked(evaluated)[0]
    figures["classes"] = plots.classes(evaluated)
    if len(evaluated) > 1:
        figures["methods"] = plots.methods(evaluated)
        figures["paired"] = plots.paired(evaluated, reference or best)
        if any(command.audit for row in evaluated for command in row.run.commands):
            figures["audit"] = plots.paired(evaluated)
    figures["confusion"] = plots.confusion(best, plots.best_note(evaluated))
    return figures
