"""Plots show the numbers of the rows."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from eval.config import ConfigError
from eval.metrics import accuracy, iou
from experiments.plotting import plots
from experiments.plotting.plots import all_plots
from experiments.plotting.shown import ranked, shown_rows
from tests.helpers.changes import change_intervals
from tests.helpers.drawn import drawn_lines
from tests.helpers.made_runs import CLASSES, grid, made_run


def test_scores_and_segments_are_those_of_the_table_in_numerical_order(tmp_path: Path) -> None:
    taus = (1.1, 0.5, 0.9)
    rows = shown_rows([made_run(tmp_path, *grid(segmenter__tau=taus, aggregation__weights=("proportional", "finest")))])
    figure = plots.scores(rows, "tau")
    assert [axis.get_title() for axis in figure.axes] == ["ACC", "mIoU official", "mIoU present"]
    panels = (("official", "acc"), ("official", "miou"), ("present", "miou"))
    for axis, (protocol, metric) in zip(figure.axes, panels, strict=True):
        assert set(drawn_lines(axis)) == {"proportional", "finest"}
        for weights, (heights, ends) in drawn_lines(axis).items():
            own = {row.settings["tau"]: row for row in rows if row.settings["weights"] == weights}
            expected = [own[tau].estimate(protocol, metric) for tau in sorted(taus)]
            assert heights == pytest.approx([value for value, _, _ in expected])
            assert [low for low, _ in ends] == pytest.approx([min(low, value) for value, low, _ in expected])
        assert [tick.get_text() for tick in axis.get_xticklabels()] == ["0.5", "0.9", "1.1"]
    axis = plots.segments(rows, "tau").axes[0]
    own = {row.settings["tau"]: row for row in rows if row.settings["weights"] == "finest"}
    means = [np.mean([record.segments for record in own[tau].row.evaluated]) for tau in sorted(taus)]
    assert drawn_lines(axis)["finest"][0] == pytest.approx(means)
    assert axis.get_lines()[0].get_ydata()[0] == 1.5  # two pictures have two classes, two have one


def test_the_heading_names_the_settings_that_are_averaged(tmp_path: Path) -> None:
    settings = grid(segmenter__tau=(0.5, 0.9), aggregation__weights=("a", "b"), segmenter__anchors=(8, 16))
    rows = shown_rows([made_run(tmp_path, *settings)])
    figure = plots.scores(rows, "tau")
    assert "mean over anchors" in figure.get_suptitle()
    own = [row for row in rows if row.settings["weights"] == "b"]
    means = [np.mean([row.score("official", "acc") for row in own if row.settings["tau"] == tau]) for tau in (0.5, 0.9)]
    assert drawn_lines(figure.axes[0])["b"][0] == pytest.approx(means)


def test_several_methods_are_several_lines(tmp_path: Path) -> None:
    settings = grid(name=("K-Means-C", "DBSCAN"), segmenter__name=("x",), aggregation__weights=("a", "b"))
    rows = shown_rows([made_run(tmp_path, *[{**each, "segmenter.name": each["name"]} for each in settings])])
    assert set(drawn_lines(plots.scores(rows, "weights").axes[0])) == {"K-Means-C", "DBSCAN"}


def test_methods_have_all_scores_and_the_published_ones(tmp_path: Path) -> None:
    published = {"acc": 50.0, "miou": 40.0}
    seeds = grid(segmenter__seed=(0, 1))
    rows = shown_rows([made_run(tmp_path, *[{**each, "published": published} for each in seeds], {"name": "Mine"})])
    figure = plots.methods(rows)
    assert [axis.get_title() for axis in figure.axes][3:] == list(plots.AGREEMENT.values())
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["DiffSeg", "Mine"]
    values = figure.axes[3].containers[0].lines[0].get_xdata()
    assert values[0] == pytest.approx(np.mean([row.score("official", "ari") for row in rows[:2]]))
    assert figure.axes[1].get_lines()[-1].get_xdata()[0] == 40
    assert "hollow: published" in figure.get_suptitle()


def test_paired_differences_are_those_of_the_common_pictures(tmp_path: Path) -> None:
    rows = shown_rows([made_run(tmp_path, *grid(segmenter__tau=(0.5, 0.9)))])
    figure = plots.paired(rows, rows[0])
    before, after = (row.row.counts("present") for row in rows)
    points = figure.axes[2].containers[0].lines[0].get_xdata()
    assert len(points) == 1
    ((start, _), (end, _)) = figure.axes[2].containers[0].lines[2][0].get_segments()[0]
    assert (start, end) == pytest.approx(tuple(change_intervals(before, after)[1]))
    assert "difference from DiffSeg, tau=0.5" in figure.get_suptitle()
    assert "the first row of the method" in plots.paired(rows).get_suptitle()


def test_classes_have_accuracy_and_iou_for_every_row_or_value(tmp_path: Path) -> None:
    rows = shown_rows([made_run(tmp_path, *grid(segmenter__tau=(0.9, 0.5), segmenter__seed=(0, 1)))])
    figure = plots.classes(rows, "tau")
    acc, score, _ = figure.axes
    assert [tick.get_text() for tick in score.get_xticklabels()] == ["0.5", "0.9"]
    assert [tick.get_text() for tick in score.get_yticklabels()] == list(CLASSES[:2]), "boat is in no picture"
    totals = [row.row.counts("present").total for row in rows if row.settings["tau"] == 0.5]
    assert list(score.images[0].get_array()[:, 0]) == pytest.approx(
        list(100 * np.mean([iou(each) for each in totals], axis=0)[:2])
    )
    recall = [each.tp[:2] / (each.tp + each.fn)[:2] for each in totals]
    assert list(acc.images[0].get_array()[:, 0]) == pytest.approx(list(100 * np.mean(recall, axis=0)))
    assert [tick.get_text() for tick in plots.classes(rows).axes[0].get_xticklabels()] == [
        "DiffSeg, tau=0.9",
        "DiffSeg, tau=0.5",
    ]


def test_a_confusion_matrix_has_the_accuracy_on_its_diagonal(tmp_path: Path) -> None:
    (row,) = shown_rows([made_run(tmp_path, {})])
    _, present, bar = plots.confusion(row, "why").axes
    names = [tick.get_text() for tick in present.get_xticklabels()]
    total = row.row.counts("present").total
    shares = np.asarray(present.images[0].get_array())
    assert shares.sum(axis=1) == pytest.approx(100)
    pixels = (total.tp + total.fn)[:2]
    diagonal = [shares[place, names.index(CLASSES[place])] for place in range(2)]
    assert np.dot(diagonal, pixels) / pixels.sum() == pytest.approx(100 * accuracy(total))
    assert plots.NO_CLASS in names
    assert bar.get_ylabel() == "% of the pixels of the true class"


def test_all_plots_are_those_that_the_rows_allow(tmp_path: Path) -> None:
    one = shown_rows([made_run(tmp_path / "one", {})])
    assert set(all_plots(one)) == {"classes", "confusion"}
    swept = shown_rows([made_run(tmp_path / "two", *grid(segmenter__tau=(0.5, 0.9), segmenter__seed=(0, 1)))])
    figures = {"score_tau", "segments_tau", "classes_tau", "classes", "methods", "paired", "confusion"}
    assert set(all_plots(swept)) == figures
    named = all_plots(swept, "DiffSeg, tau=0.5, seed=0")["paired"].get_suptitle()
    assert "difference from DiffSeg, tau=0.5, seed=0" in named
    with pytest.raises(ConfigError, match="no such row"):
        all_plots(swept, "tau=7")
    other = shown_rows([made_run(tmp_path / "three", {}, dataset={"name": "camvid"})])
    assert {"camvid_confusion", "photos_score_tau"} < set(all_plots([*swept, *other]))
    audit = shown_rows([made_run(tmp_path / "four", *grid(segmenter__tau=(0.5, 0.9)), audit=True)])
    assert "audit" in all_plots(audit)


def test_failed_images_and_rows_are_left_out(tmp_path: Path) -> None:
    first = made_run(tmp_path / "one", *grid(segmenter__tau=(0.5, 0.9)), failed=("a",))
    second = made_run(tmp_path / "two", {"segmenter.tau": 1.1}, failed=("a", "b", "c", "d"))
    rows = shown_rows([first, second])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as about panels without room
        for figure in all_plots(rows).values():
            figure.draw_without_rendering()
    assert ranked(rows)[-1].settings["tau"] == 1.1
    assert all_plots(rows[2:]) == {}
