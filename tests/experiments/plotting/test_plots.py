"""Plots show the numbers of the tables, checked with made-up tables."""

from __future__ import annotations

import json

import numpy as np
import pytest
from eval.results.reading import Results

from eval.matching import Counts
from eval.metrics import accuracy, bootstrap_change, mean_iou
from eval.results.comparisons import mean_interval
from experiments.plotting import plots
from experiments.plotting.drawing import (
    COLOURS,
)
from experiments.plotting.selection import (
    MOST_ROWS,
    best,
    contrast,
    overview,
    seeds_together,
)
from tests.helpers.made_up_results import IMAGES, NUMBERS, drawn_lines, grid, made_up


def test_scores_are_those_of_the_summary() -> None:
    results = made_up(*grid(tau=("1.1", "0.5", "0.9"), weights=("proportional", "finest")))
    figure = plots.scores(results, "tau", "weights")
    assert [axis.get_title() for axis in figure.axes] == ["ACC", "mIoU official", "mIoU present"]
    panels = (("official", "acc"), ("official", "miou"), ("present", "miou"))
    for axis, (protocol, metric) in zip(figure.axes, panels, strict=True):
        assert set(drawn_lines(axis)) == {"proportional", "finest"}
        rows = results.summary[results.summary["protocol"] == protocol]
        for weights, (heights, ends) in drawn_lines(axis).items():
            own = rows[rows["weights"] == weights].set_index("tau").loc[["0.5", "0.9", "1.1"]]  # in numerical order
            assert heights == pytest.approx(list(own[metric]))
            assert np.allclose(ends, own[[f"{metric}_low", f"{metric}_high"]])
        assert [tick.get_text() for tick in axis.get_xticklabels()] == ["0.5", "0.9", "1.1"]


def test_the_title_names_the_parameters_that_are_averaged() -> None:
    results = made_up(*grid(tau=("0.5", "0.9"), weights=("proportional", "finest"), anchors=("8", "16")))
    figure = plots.scores(results, "tau", "weights")
    assert "mean over anchors" in figure.get_suptitle()
    (axis, *_) = figure.axes
    own = results.summary.query("protocol == 'official' and weights == 'finest'")
    heights, ends = drawn_lines(axis)["finest"]
    assert heights == pytest.approx(list(own.groupby("tau")["acc"].mean()))
    assert np.allclose(ends, own.groupby("tau")[["acc_low", "acc_high"]].mean())
    (alone,) = drawn_lines(plots.scores(results, "tau", "").axes[0]).values()
    assert alone[0] == pytest.approx(list(results.summary.query("protocol == 'official'").groupby("tau")["acc"].mean()))
    assert "mean over weights, anchors" in plots.scores(results, "tau", "").get_suptitle()


def test_several_methods_are_several_lines() -> None:
    several = grid(name=("K-Means-C", "DBSCAN"), weights=("proportional", "finest"))
    assert set(drawn_lines(plots.scores(made_up(*several), "weights").axes[0])) == {"K-Means-C", "DBSCAN"}


def test_segments_are_shown_with_the_mean_number_of_classes() -> None:
    results = made_up(*grid(tau=("0.5", "0.9"), anchors=("8", "16")))
    (axis,) = plots.segments(results, "tau", "").axes
    rows = results.per_image[results.per_image["protocol"] == "official"]
    (drawn,) = drawn_lines(axis).values()
    for tau, height, ends in zip(("0.5", "0.9"), *drawn, strict=True):
        by_image = rows[rows["tau"] == tau].groupby("image")["segments"].mean()
        assert height == pytest.approx(by_image.mean())
        assert ends == pytest.approx(mean_interval(by_image)[1:])
    dashed = next(line for line in axis.get_lines() if line.get_linestyle() == "--")
    assert dashed.get_ydata()[0] == (4 + 2 + 0) / len(IMAGES)


def counts(results: Results, setting: str, protocol: str) -> list[Counts]:
    rows = results.per_image[(results.per_image["setting"] == setting) & (results.per_image["protocol"] == protocol)]
    return [
        Counts(*(np.array(json.loads(row[name])) for name in ("tp", "fp", "fn")), row["labelled"])
        for _, row in rows.dropna(subset=["tp"]).iterrows()
    ]


def test_paired_changes_are_changes_of_the_score_over_all_images() -> None:
    results = made_up(*grid(tau=("0.5", "0.9", "1.1")))
    reference, *others = "DiffSeg, tau=0.9", "DiffSeg, tau=0.5", "DiffSeg, tau=1.1"
    figure = plots.paired(results, reference)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == others
    for axis, protocol, which in zip(figure.axes, ("official", "official", "present"), (0, 1, 1), strict=True):
        old = counts(results, reference, protocol)
        line, _, (bars,) = axis.containers[0].lines
        for setting, x, segment in zip(others, line.get_xdata(), bars.get_segments(), strict=True):
            new = counts(results, setting, protocol)
            score = (accuracy, mean_iou)[which]
            change = score(sum(new[1:], new[0])) - score(sum(old[1:], old[0]))
            interval = bootstrap_change(old, new)[which]
            drawn = (x, segment[0, 0], segment[1, 0])
            assert drawn == pytest.approx((100 * change, 100 * interval.low, 100 * interval.high))


def test_paired_changes_are_of_the_images_that_both_have() -> None:
    results = made_up(*grid(tau=("0.5", "0.9")))
    reference, other = "DiffSeg, tau=0.5", "DiffSeg, tau=0.9"
    rows = results.per_image
    rows.loc[(rows["image"] == "a") & (rows["tau"] == "0.5"), NUMBERS] = np.nan
    old, new = counts(results, reference, "official"), counts(results, other, "official")[1:]
    assert len(old) == len(new) == len(IMAGES) - 1
    (x,) = plots.paired(results, reference).axes[0].containers[0].lines[0].get_xdata()
    assert x == pytest.approx(100 * (accuracy(sum(new[1:], new[0])) - accuracy(sum(old[1:], old[0]))))


def test_titles_say_which_settings_are_compared_and_why() -> None:
    results = made_up(*grid(tau=("0.5", "0.9", "1.1")))
    leader = best(results.summary)
    assert f"change from {leader}, the best by mIoU present" in plots.paired(results, leader).get_suptitle()
    first, second, chosen = contrast(results.summary)
    assert chosen == "the worst and the best setting by mIoU present"
    for plot in (plots.images, plots.classes):
        assert chosen in plot(results, first, second, chosen).get_suptitle().replace("\n", " ")
        assert "worst" not in plot(results, *contrast(results.summary, (first, leader))).get_suptitle()
    assert "best" not in plots.paired(results, first).get_suptitle()
    official = results.summary[results.summary["protocol"] == "official"]
    assert contrast(official)[2].endswith("by mIoU official")


def test_classes_are_sorted_by_their_difference() -> None:
    results = made_up(*grid(tau=("0.5", "0.9")))
    first, second = "DiffSeg, tau=0.5", "DiffSeg, tau=0.9"
    figure = plots.classes(results, first, second)
    axis = figure.axes[1]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(names) == ["person (2)", "sky (4)"]  # no image has a boat
    iou = results.per_class.query("protocol == 'present'").pivot(index="class", columns="setting", values="iou")
    change = (iou[second] - iou[first]).dropna().sort_values(ascending=False)
    assert [name.split()[0] for name in names] == list(change.index)
    rows = results.per_class.query("protocol == 'present'").set_index(["setting", "class"])
    for container, setting in zip(axis.containers, (first, second), strict=True):
        line, _, (bars,) = container.lines
        for x, segment, name in zip(line.get_xdata(), bars.get_segments(), change.index, strict=True):
            own = rows.loc[setting, name]
            assert (x, segment[0, 0], segment[1, 0]) == pytest.approx((own["iou"], own["iou_low"], own["iou_high"]))


def test_images_that_differ_most_are_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "OUTLIERS", 2)
    results = made_up(*grid(tau=("0.5", "0.9")))
    first, second = "DiffSeg, tau=0.5", "DiffSeg, tau=0.9"
    figure = plots.images(results, first, second)
    scores = results.per_image.pivot(index="image", columns=["protocol", "setting"], values="miou")["present"]
    furthest = (scores[second] - scores[first]).abs().nlargest(2).index
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [f"{n}  {image}" for n, image in enumerate(furthest, 1)]
    axis = figure.axes[0]
    table = results.per_image.query("protocol == 'official'").pivot(index="image", columns="setting", values="acc")
    assert set(axis.get_lines()[1].get_xdata()) == set(table[first])
    for text in axis.texts:  # each number is near the point of its image
        x, y = table.loc[furthest[int(text.get_text()) - 1], [first, second]]
        assert text.get_position() == pytest.approx((x, y), abs=6)
    # The mean of the scores of single images is not the score in the tables, so it is not shown.
    assert [axis.get_title() for axis in figure.axes] == [
        f"{score} of each image" for score in ("ACC", "mIoU official", "mIoU present")
    ]
    assert "mean" not in figure.get_suptitle()


def test_segment_counts_that_differ_much_have_a_logarithmic_axis() -> None:
    results = made_up(*grid(iterations=("1", "3")))
    assert plots.segments(results, "iterations").axes[0].get_yscale() == "linear"
    results.per_image.loc[results.per_image["iterations"] == "1", "segments"] = 100
    assert plots.segments(results, "iterations").axes[0].get_yscale() == "log"


def test_methods_average_seeds_and_show_published_numbers() -> None:
    results = made_up(*grid(name=("K-Means-C",), seed=("0", "1", "2")), {"name": "DiffSeg", "tau": "0.3"})
    results.summary.loc[results.summary["name"] == "DiffSeg", "published_acc"] = 72.5
    figure = plots.methods(results)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["K-Means-C", "DiffSeg, tau=0.3"]
    official = results.summary[results.summary["protocol"] == "official"]
    points = figure.axes[0].containers[0].lines[0].get_xdata()
    assert points[0] == pytest.approx(official[official["name"] == "K-Means-C"]["acc"].mean())
    assert len(seeds_together(results.summary)) == 2 * 2
    assert 72.5 in figure.axes[0].get_lines()[-1].get_xdata()
    assert "hollow: published" in figure.get_suptitle()


def test_the_score_of_the_whole_data_set_has_panels_of_its_own() -> None:
    results = made_up(*grid(tau=("0.5", "0.9")))
    for table in (results.summary, results.per_image, results.per_class):
        table.loc[table["protocol"] == "present", "protocol"] = "dataset"
    titles = [axis.get_title() for axis in plots.methods(results).axes]
    assert titles == ["ACC", "mIoU official", "ACC dataset", "mIoU dataset"]


def test_of_many_settings_the_best_are_shown() -> None:
    results = made_up(*grid(tau=tuple(f"0.{digits:02}" for digits in range(1, MOST_ROWS + 5))))
    figure = plots.methods(results)
    ranked = results.summary.query("protocol == 'present'").sort_values("miou", ascending=False)["setting"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(ranked[:MOST_ROWS])
    assert f"the {MOST_ROWS} best of {MOST_ROWS + 4} settings by mIoU present" in figure.get_suptitle()
    assert best(results.summary) == ranked.iloc[0]
    assert contrast(results.summary)[:2] == (ranked.iloc[-1], ranked.iloc[0])


def test_the_plot_of_protocols_shows_the_scores_of_the_overview() -> None:
    results = made_up(*grid(tau=("0.5", "0.9", "1.1")))
    left, right = plots.protocols(results).axes
    table = overview(results.summary)
    drawn = {each.get_label(): each.lines[0].get_xdata() for each in left.containers}
    assert drawn == {
        setting: [score] for setting, score in table["mIoU official"].items()
    }  # each setting has its own label
    gap = table["mIoU present"] - table["mIoU official"]
    assert [line.get_ydata()[0] for line in right.get_lines()] == pytest.approx(list(gap))
    assert len({line.get_color() for line in right.get_lines()}) == 3


@pytest.mark.parametrize(
    ("settings", "title", "names"),
    [
        (grid(name=("K-Means-C", "DBSCAN"), weights=("a", "b", "c", "d")), "method", ["K-Means-C", "DBSCAN"]),
        (grid(tau=("0.9", "0.5"), anchors=("1", "2", "3", "4")), "threshold τ (nats)", ["0.5", "0.9"]),
        (grid(tau=tuple(f"0.{digit}{digit}" for digit in range(len(COLOURS) + 1))), None, []),
    ],
)
def test_many_settings_are_told_apart_by_method_or_parameter(
    settings: list[dict[str, str]], title: str | None, names: list[str]
) -> None:
    figure = plots.protocols(made_up(*settings))
    assert sum(len(each.lines[0].get_xdata()) for each in figure.axes[0].containers) == len(settings)
    assert [legend.get_title().get_text() for legend in figure.legends] == ([title] if title else [])
    assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == names


def test_long_names_beside_the_panels_do_not_shrink_them() -> None:
    def width(name: str) -> float:
        figure = plots.protocols(made_up({"name": name, "tau": "0.5"}, {"name": name, "tau": "0.9"}))
        figure.draw_without_rendering()
        return figure.axes[0].get_window_extent().width

    assert width("a method with quite a long name") == pytest.approx(width("short"), rel=0.05)
