"""Plots over the scale show the scores of the rows in the order of the scale, and published scores where they fit."""

from __future__ import annotations

from typing import Any, cast

import pytest
from matplotlib.figure import Figure

from eval.boundaries import f_measure
from eval.records import Record
from eval.row import Row
from experiments.paper.table import published_markdown
from experiments.plotting.scale_plots import scale_plots
from experiments.plotting.shown import ShownRow

SCORES = {
    "regions": {"covering": 50.0, "pri": 80.0, "voi": 2.0},
    "boundaries": {"boundary_recall": 20.0, "boundary_precision": 60.0},
}


def shown(name: str, place: float, segments: int, split: str = "test", **segmenter: Any) -> ShownRow:
    """A row whose scores grow by ``place``."""
    settings = {
        "dataset": {"name": "bsds500", "label_source": f"groundTruth/{split}"},
        "scoring": {"frame": "whole"},
        "segmenter": segmenter,
    }
    compared: dict[str, Any] = {"stored_tables": {"person 1": {}}, "counts": {"boundaries": ()}}
    records = [Record("", id, segments=segments + more, **compared) for id, more in (("a", 0), ("b", 2))]
    row = Row(name, name, settings, (), list(SCORES), records, official_count=200)
    scores = {protocol: {key: value + place for key, value in columns.items()} for protocol, columns in SCORES.items()}
    return ShownRow(name, row, cast(Any, None), scores, {"dataset": "bsds500"})


def lines(figure: Figure, axis: int = 0) -> dict[str, tuple[list[float], list[float]]]:
    drawn = [line for line in figure.axes[axis].get_lines() if not str(line.get_label()).startswith("_")]
    return {str(line.get_label()): (list(line.get_xdata()), list(line.get_ydata())) for line in drawn}


def test_lines_follow_the_scale_and_a_single_row_is_a_point() -> None:
    rows = [shown("A", 2, 5, tau=0.3), shown("A", 1, 9, tau=0.1), shown("A", 3, 2, tau=0.5), shown("B", 0, 1, rule="x")]
    figures = scale_plots(rows)
    assert set(figures) == {"regions", "boundaries"}
    for axis, start in enumerate((50, 80, 2)):
        assert lines(figures["regions"], axis) == {
            "A": ([10, 6, 3], [start + 1, start + 2, start + 3]),
            "B": ([2], [start]),
        }
    assert lines(figures["boundaries"]) == {"A": ([21, 22, 23], [61, 62, 63]), "B": ([20], [60])}


def test_isolines_have_equal_f_and_published_scores_stand_beside_those_of_the_test_pictures() -> None:
    for split, published in (("test", True), ("val", False)):
        row = shown("A", 0, 1, split)
        figures = scale_plots([row])
        curves = [line for line in figures["boundaries"].axes[0].get_lines() if len(line.get_xdata()) > 1]
        for curve in curves:
            f = f_measure(curve.get_xdata(), curve.get_ydata())
            assert f == pytest.approx(f[0])
        levels = {round(float(f_measure(*curve.get_xydata()[0])), 1) for curve in curves}
        assert {10, 50, 90} < levels
        assert (72.6 in levels) is published  # gPb-owt-ucm
        texts = {text.get_text() for text in figures["regions"].axes[0].texts}
        assert ("gPb-owt-ucm" in texts) is published
        assert ("| gPb-owt-ucm " in published_markdown([row.row])) is published
