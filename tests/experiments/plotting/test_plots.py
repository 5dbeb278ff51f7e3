"""Plots show the numbers of the tables, checked with made-up tables."""

from __future__ import annotations

import json
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from eval.matching import Counts
from eval.metrics import accuracy, bootstrap_change, mean_iou, resample_weights
from eval.results.columns import AGREEMENT, SETTINGS
from eval.results.comparisons import mean_interval
from eval.results.reading import Results, ResultsError
from experiments.plotting import plots
from experiments.plotting.all_plots import all_plots
from experiments.plotting.class_agnostic import class_agnostic
from experiments.plotting.drawing import COLOURS, new_figure, number_points
from experiments.plotting.selection import MOST_ROWS, best, comparable, contrast, overview, seeds_together

IMAGES = ("a", "b", "c", "d")
CLASSES = ("sky", "person", "boat")
NUMBERS = ["acc", "miou", "segments", "tp", "fp", "fn", "labelled"]


def made_up(*parameters: dict[str, str]) -> Results:
    """Results of these settings, with random scores."""
    random = np.random.default_rng(0)
    summary, per_class, per_image = [], [], []
    for number, given in enumerate(parameters):
        name = given.get("name", "DiffSeg")
        setting = ", ".join([name, *(f"{key}={value}" for key, value in given.items() if key != "name")])
        row = {"job": str(number), "setting": setting, "name": name, "row": name, **dict.fromkeys(SETTINGS, "")}
        row |= {"dataset": "photos", "backbone": "dinov2_small", "segmenter": "diffseg", **given}
        for protocol in ("official", "present"):
            row["protocol"] = protocol
            acc, miou = random.uniform(30, 60, 2)
            scores = {
                "acc": acc,
                "acc_low": acc - 9,
                "acc_high": acc + 5,
                "miou": miou,
                "miou_low": miou - 3,
                "miou_high": miou + 2,
            }
            for name in AGREEMENT:
                value = random.uniform(1, 90)
                scores |= {name: value, f"{name}_low": value - 2, f"{name}_high": value + 3}
            numbers = {"images": len(IMAGES), "failed": 0, "segments": random.uniform(2, 9), "published_acc": np.nan}
            summary.append(row | scores | numbers | {"published_miou": np.nan})
            for class_id, (class_name, images) in enumerate(zip(CLASSES, (4, 2, 0), strict=True)):
                iou = random.uniform(0, 100) if images else np.nan
                per_class.append(row | {"class_id": class_id, "class": class_name, "iou": iou, "images": images})
                per_class[-1] |= {"iou_low": iou - 3, "iou_high": iou + 2}
            for image in IMAGES:
                acc, miou = random.uniform(0, 100, 2)
                per_image.append(row | {"image": image, "acc": acc, "miou": miou, "segments": random.integers(1, 9)})
                tp, fp, fn = random.integers(0, 1000, (3, len(CLASSES)))
                per_image[-1] |= {"tp": json.dumps(tp.tolist()), "fp": json.dumps(fp.tolist())}
                per_image[-1] |= {"fn": json.dumps(fn.tolist()), "labelled": (tp + fn).sum()}
    folders = {str(number): Path() for number in range(len(parameters))}
    return Results(*map(pd.DataFrame, (summary, per_class, per_image)), pd.DataFrame(), folders, ())


def grid(**values: tuple[str, ...]) -> list[dict[str, str]]:
    return [dict(zip(values, combination, strict=True)) for combination in product(*values.values())]


def lines(axis: Axes) -> dict[str, tuple[list[float], list[tuple[float, float]]]]:
    """Label -> heights of the points, and the ends of their bars."""
    found = {}
    for container in axis.containers:
        line, _, (bars,) = container.lines
        ends = [(low, high) for (_, low), (_, high) in bars.get_segments()]
        found[container.get_label()] = (list(line.get_ydata()), ends)
    return found


def test_scores_are_those_of_the_summary() -> None:
    results = made_up(*grid(tau=("1.1", "0.5", "0.9"), weights=("proportional", "finest")))
    figure = plots.scores(results, "tau", "weights")
    assert [axis.get_title() for axis in figure.axes] == ["ACC", "mIoU official", "mIoU present"]
    panels = (("official", "acc"), ("official", "miou"), ("present", "miou"))
    for axis, (protocol, metric) in zip(figure.axes, panels, strict=True):
        assert set(lines(axis)) == {"proportional", "finest"}
        rows = results.summary[results.summary["protocol"] == protocol]
        for weights, (heights, ends) in lines(axis).items():
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
    heights, ends = lines(axis)["finest"]
    assert heights == pytest.approx(list(own.groupby("tau")["acc"].mean()))
    assert np.allclose(ends, own.groupby("tau")[["acc_low", "acc_high"]].mean())
    (alone,) = lines(plots.scores(results, "tau", "").axes[0]).values()
    assert alone[0] == pytest.approx(list(results.summary.query("protocol == 'official'").groupby("tau")["acc"].mean()))
    assert "mean over weights, anchors" in plots.scores(results, "tau", "").get_suptitle()


def test_only_rows_that_differ_in_nothing_else_are_compared() -> None:
    """Rows as in an audit, each with one changed choice: a choice is compared only with the default row."""
    default = {"scheme": "official", "rule": "official"}
    results = made_up(default, {**default, "scheme": "paper"}, {**default, "rule": "paper"})
    kept = comparable(results.summary, "scheme")
    assert set(zip(kept["scheme"], kept["rule"], strict=True)) == {("official", "official"), ("paper", "official")}
    ((heights, _),) = lines(plots.scores(results, "scheme").axes[0]).values()
    assert heights == list(kept[kept["protocol"] == "official"]["acc"])


def test_several_methods_are_several_lines() -> None:
    several = grid(name=("K-Means-C", "DBSCAN"), weights=("proportional", "finest"))
    assert set(lines(plots.scores(made_up(*several), "weights").axes[0])) == {"K-Means-C", "DBSCAN"}


def test_a_parameter_that_does_not_vary_is_named() -> None:
    with pytest.raises(ResultsError, match=r"tau: these results have the single value 0\.5"):
        plots.scores(made_up(*grid(tau=("0.5",), anchors=("8", "16"))), "tau")


def test_segments_are_shown_with_the_mean_number_of_classes() -> None:
    results = made_up(*grid(tau=("0.5", "0.9"), anchors=("8", "16")))
    (axis,) = plots.segments(results, "tau", "").axes
    rows = results.per_image[results.per_image["protocol"] == "official"]
    (drawn,) = lines(axis).values()
    for tau, height, ends in zip(("0.5", "0.9"), *drawn, strict=True):
        by_image = rows[rows["tau"] == tau].groupby("image")["segments"].mean()
        assert height == pytest.approx(by_image.mean())
        assert ends == pytest.approx(mean_interval(by_image)[1:])
    dashed = next(line for line in axis.get_lines() if line.get_linestyle() == "--")
    assert dashed.get_ydata()[0] == (4 + 2 + 0) / len(IMAGES)


def test_mean_interval_is_a_bootstrap_over_the_known_images() -> None:
    values = pd.Series([3.0, np.nan, 8.0, 1.0, 5.0])
    drawn = resample_weights(4, 2000, 0)
    means = [np.repeat([3.0, 8.0, 1.0, 5.0], counts.astype(int)).mean() for counts in drawn]
    assert mean_interval(values) == pytest.approx((4.25, *np.quantile(means, [0.025, 0.975])))


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


def test_numbers_cover_no_point_and_no_other_number() -> None:
    crowd = np.array([(50, 50), (54, 50), (46, 50), (99, 99), (1, 1)])
    (axis,) = new_figure(1)[1]
    number_points(axis, crowd, 100, crowd)
    places = np.array([text.get_position() for text in axis.texts])
    assert [text.get_text() for text in axis.texts] == ["1", "2", "3", "4", "5"]
    assert np.abs(places[:, None] - crowd).max(axis=2).min() > 3
    between = np.abs(places[:, None] - places).max(axis=2)
    assert between[~np.eye(5, dtype=bool)].min() > 4
    assert ((places > 0) & (places < 100)).all()


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


def test_class_agnostic_scores_are_shown_for_every_setting() -> None:
    results = made_up(*grid(tau=("0.5", "0.9")))
    figure = class_agnostic(results)
    rows = results.summary[results.summary["protocol"] == "official"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(rows["setting"])
    for axis, name in zip(figure.axes, AGREEMENT, strict=True):
        line, _, (bars,) = axis.containers[0].lines
        np.testing.assert_allclose(line.get_xdata(), rows[name])
        np.testing.assert_allclose(
            [segment[:, 0] for segment in bars.get_segments()], rows[[f"{name}_low", f"{name}_high"]]
        )


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


def test_the_best_k_means_is_compared_with_the_best_diffseg() -> None:
    kinds = {"kmeans_c": "K-Means-C", "kmeans_s": "K-Means-S", "dbscan": "DBSCAN", "diffseg": "DiffSeg"}
    results = made_up(*({"name": name, "segmenter": segmenter} for segmenter, name in kinds.items()))
    scores = results.summary.query("protocol == 'present'").set_index("segmenter")["miou"]
    kmeans, diffseg, chosen = contrast(results.summary)
    assert chosen == "the best K-Means and the best DiffSeg by mIoU present"
    assert f"segmenter={scores[['kmeans_c', 'kmeans_s']].idxmax()}" in kmeans
    assert "segmenter=diffseg" in diffseg


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
