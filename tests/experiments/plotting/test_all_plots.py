"""All plots: which ones the results allow, and what is left out of them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from eval.results.reading import ResultsError
from experiments.plotting.selection import (
    contrast,
)
from tests.helpers.made_up_results import IMAGES, NUMBERS, grid, made_up

from experiments.plotting import plots
from experiments.plotting.all_plots import all_plots


def test_the_user_may_choose_the_settings_to_compare() -> None:
    results = made_up(*grid(tau=("0.5", "0.9", "1.1")))
    wanted = ["DiffSeg, tau=0.9", "DiffSeg, tau=0.5"]
    figures = all_plots(results, wanted)
    assert "change from DiffSeg, tau=0.9" in figures["paired"].get_suptitle()
    axis = figures["images"].axes[0]
    assert (axis.get_xlabel(), axis.get_ylabel()) == tuple(f"{name} (%)" for name in wanted)
    assert [text.get_text() for text in figures["classes"].legends[0].get_texts()] == wanted
    with pytest.raises(ResultsError, match="tau=7: no such setting; choose from: DiffSeg, "):
        all_plots(results, [wanted[0], "tau=7"])
    with pytest.raises(ResultsError, match="cannot be compared with itself"):
        all_plots(results, [wanted[0], wanted[0]])
    with pytest.raises(ResultsError, match="no such setting"):
        plots.paired(results, "tau=7")


def test_all_plots_are_those_that_the_results_allow() -> None:
    one = set(all_plots(made_up({"tau": "0.5"})))
    assert one == set()
    general = {"methods", "class_agnostic", "paired", "images", "classes", "protocols"}
    swept = all_plots(made_up(*grid(tau=("0.5", "0.9"), seed=("0", "1"))))
    assert set(swept) == {"score_tau", "segments_tau", *general}
    several = all_plots(made_up(*grid(dataset=("photos", "cityscapes27"), tau=("0.5", "0.9"))))
    assert set(several) == {f"{name}_{plot}" for name in ("photos", "cityscapes27") for plot in swept}
    official = made_up(*grid(tau=("0.5", "0.9")))
    for table in (official.summary, official.per_class, official.per_image):
        table.drop(table[table["protocol"] == "present"].index, inplace=True)
    assert set(all_plots(official)) == {"score_tau", "segments_tau", *general} - {"protocols"}


def test_failed_images_and_settings_are_left_out() -> None:
    results = made_up(*grid(tau=("0.5", "0.9", "1.1")))
    rows = results.per_image
    rows.loc[(rows["image"] == "a") & (rows["tau"] == "0.5"), NUMBERS] = np.nan
    rows.loc[rows["tau"] == "1.1", NUMBERS] = np.nan
    numbers = [name for name in results.summary if name.startswith(("acc", "miou", "segments"))]
    results.summary.loc[results.summary["tau"] == "1.1", numbers] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as about panels without room
        for figure in all_plots(results).values():
            figure.draw_without_rendering()
        plots.images(results, "DiffSeg, tau=1.1", "DiffSeg, tau=0.9").draw_without_rendering()  # no image in common
    assert "DiffSeg, tau=1.1" not in contrast(results.summary)
    axis = plots.images(results, "DiffSeg, tau=0.5", "DiffSeg, tau=0.9").axes[0]
    assert len(axis.get_lines()[1].get_xdata()) == len(IMAGES) - 1
