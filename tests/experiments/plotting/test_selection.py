"""The settings and rows that plots show and compare."""

from __future__ import annotations

import pytest
from eval.results.reading import ResultsError

from experiments.plotting import plots
from experiments.plotting.selection import (
    MOST_ROWS,
    best,
    by_image,
    check_settings,
    comparable,
    contrast,
    criterion,
    describe_data,
    distinguishing_column,
    reported_protocols,
    rows_of_one_protocol,
    seeds_together,
    shown_settings,
)
from tests.helpers.made_up_results import IMAGES, drawn_lines, grid, made_up


def test_only_rows_that_differ_in_nothing_else_are_compared() -> None:
    """Rows as in an audit, each with one changed choice: a choice is compared only with the default row."""
    default = {"scheme": "official", "rule": "official"}
    results = made_up(default, {**default, "scheme": "paper"}, {**default, "rule": "paper"})
    kept = comparable(results.summary, "scheme")
    assert set(zip(kept["scheme"], kept["rule"], strict=True)) == {("official", "official"), ("paper", "official")}
    ((heights, _),) = drawn_lines(plots.scores(results, "scheme").axes[0]).values()
    assert heights == list(kept[kept["protocol"] == "official"]["acc"])


def test_the_best_k_means_is_compared_with_the_best_diffseg() -> None:
    kinds = {"kmeans_c": "K-Means-C", "kmeans_s": "K-Means-S", "dbscan": "DBSCAN", "diffseg": "DiffSeg"}
    results = made_up(*({"name": name, "segmenter": segmenter} for segmenter, name in kinds.items()))
    scores = results.summary.query("protocol == 'present'").set_index("segmenter")["miou"]
    kmeans, diffseg, chosen = contrast(results.summary)
    assert chosen == "the best K-Means and the best DiffSeg by mIoU present"
    assert f"segmenter={scores[['kmeans_c', 'kmeans_s']].idxmax()}" in kmeans
    assert "segmenter=diffseg" in diffseg


def test_the_last_protocol_of_this_project_ranks_the_settings() -> None:
    results = made_up(*grid(tau=("0.5", "0.9")))
    summary = results.summary
    assert reported_protocols(summary) == ["official", "present"]
    assert criterion(summary) == "mIoU present"
    renamed = summary.replace({"protocol": {"official": "mine.other", "present": "dataset"}})
    assert reported_protocols(renamed) == ["dataset", "mine.other"]
    summary.loc[(summary["tau"] == "0.9") & (summary["protocol"] == "present"), "miou"] = 99
    assert best(summary) == "DiffSeg, tau=0.9"


def test_an_unknown_or_repeated_setting_is_named() -> None:
    many = made_up(*grid(tau=tuple(str(number) for number in range(MOST_ROWS + 3)))).summary
    check_settings(many, ["DiffSeg, tau=0", "DiffSeg, tau=22"])
    with pytest.raises(ResultsError, match=r"^x: no such setting; choose from: DiffSeg, tau=0; .*tau=19 and 3 more$"):
        check_settings(many, ["DiffSeg, tau=0", "x"])
    with pytest.raises(ResultsError, match=r"^DiffSeg, tau=1: cannot be compared with itself"):
        check_settings(many, ["DiffSeg, tau=1"] * 2)
    assert contrast(many, ["DiffSeg, tau=3", "DiffSeg, tau=1"]) == ("DiffSeg, tau=3", "DiffSeg, tau=1", "")


def test_all_settings_are_shown_unless_there_are_too_many() -> None:
    few = made_up(*grid(tau=("0.9", "0.5"))).summary
    assert shown_settings(few) == (["DiffSeg, tau=0.9", "DiffSeg, tau=0.5"], "")
    many = made_up(*grid(tau=tuple(str(number) for number in range(MOST_ROWS + 1)))).summary
    shown, note = shown_settings(many)
    assert (len(shown), note) == (MOST_ROWS, f"the {MOST_ROWS} best of {MOST_ROWS + 1} settings by mIoU present")
    present = many[many["protocol"] == "present"].set_index("setting")["miou"]
    assert present.idxmin() not in shown
    assert shown[0] == present.idxmax()


def test_seeds_are_averaged() -> None:
    summary = made_up(*grid(tau=("0.5",), seed=("0", "1")), {"tau": "0.9"}).summary
    together = seeds_together(summary)
    assert list(together["setting"]) == [name for name in ("DiffSeg, tau=0.5", "DiffSeg, tau=0.9") for _ in range(2)]
    first = summary[(summary["tau"] == "0.5") & (summary["protocol"] == "official")]
    assert together["acc"][0] == pytest.approx(first["acc"].mean())


def test_settings_are_told_apart_by_the_first_column_with_few_values() -> None:
    summary = made_up(*grid(name=("A", "B"), tau=("0.5", "0.7", "0.9"))).summary
    assert distinguishing_column(summary, 6) == "setting"
    assert distinguishing_column(summary, 5) == "name"
    assert distinguishing_column(summary[summary["name"] == "A"], 2) == ""
    assert distinguishing_column(made_up(*grid(tau=("1", "2"), seed=("0", "1", "2"))).summary, 2) == "tau"


def test_tables_of_one_protocol_and_of_images() -> None:
    results = made_up(*grid(tau=("0.5", "0.9")))
    assert set(rows_of_one_protocol(results.summary)["protocol"]) == {"official"}
    table = by_image(results.per_image, "present", "acc")
    own = results.per_image.query("protocol == 'present' and tau == '0.9' and image == 'c'")
    assert table.loc["c", "DiffSeg, tau=0.9"] == own["acc"].item()
    assert list(table.index) == list(IMAGES)
    assert describe_data(results) == "photos, dinov2_small, 4 images"
