"""Draws all plots of results, for ``make figures`` and ``make report``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eval.results.reading import Results
from matplotlib.figure import Figure

from eval.protocols import PROTOCOLS
from experiments.plotting import curves, plots
from experiments.plotting.class_agnostic import class_agnostic
from experiments.plotting.confusion import confusion
from experiments.plotting.selection import best, check_settings, contrast, criterion

RESULT_TABLES = ("summary", "per_class", "per_image")


def all_plots(results: Results, compare: Sequence[str] | None = None) -> dict[str, Figure]:
    """Draws every plot that the results allow; returns name -> figure. Names are valid file names.

    Args:
        results: results of any number of data sets. Several data sets are plotted separately.
        compare: two settings. All others are compared with the first, and the second image by image and class by class,
            in the data sets that have both. None: `experiments.plotting.selection` chooses them (`best`, `contrast`).

    Raises:
        ResultsError: the results do not have these two.
    """
    check_settings(results.summary, compare or ())
    datasets = list(results.summary["dataset"].unique())
    figures: dict[str, Figure] = {}
    for dataset in datasets:
        tables = {name: getattr(results, name) for name in RESULT_TABLES}
        part = replace(results, **{name: table[table["dataset"] == dataset] for name, table in tables.items()})
        wanted = compare if set(compare or ()) <= set(part.summary["setting"]) else None
        prefix = f"{dataset}_" if len(datasets) > 1 else ""
        figures |= {f"{prefix}{name}": figure for name, figure in _plots_of_dataset(part, wanted).items()}
    if not results.audit.empty:
        figures["audit"] = plots.audit(results)
    return figures


def _plots_of_dataset(results: Results, compare: Sequence[str] | None) -> dict[str, Figure]:
    """Draws the plots of one data set."""
    summary = results.summary
    figures: dict[str, Figure] = {}
    if not summary["images"].any():  # all failed
        return figures
    axes = curves.axis_parameters(summary)
    figures |= {f"score_{parameter}": plots.scores(results, parameter) for parameter in axes}
    figures |= {f"segments_{parameter}": plots.segments(results, parameter) for parameter in axes}
    if summary["setting"].nunique() > 1:
        two = contrast(summary, compare)
        figures["methods"] = plots.methods(results)
        figures["class_agnostic"] = class_agnostic(results)
        figures["paired"] = plots.paired(results, compare[0] if compare else best(summary))
        figures["images"] = plots.images(results, *two)
        figures["classes"] = plots.classes(results, *two)
        if set(summary["protocol"]) >= set(PROTOCOLS):
            figures["protocols"] = plots.protocols(results)
    leader = best(summary)
    chosen = f"the best setting by {criterion(summary)}" if summary["setting"].nunique() > 1 else ""
    if (matrix := confusion(results, leader, chosen)) is not None:
        figures["confusion"] = matrix
    return figures
