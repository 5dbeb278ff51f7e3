"""The paired bootstrap, against direct resampling, and Holm's correction, against another library."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from eval.counts import Counts
from eval.metrics import accuracy, bootstrap_mean, mean_iou, resample_weights, totals
from experiments.compare.statistics import (
    class_scores,
    compare,
    holm,
    known_values,
    mean_scores,
    two_sided_p,
)
from tests.helpers.changes import change_intervals

PICTURES, CLASSES = 12, 4


def made_counts(seed: int) -> list[Counts]:
    random = np.random.default_rng(seed)
    made = [random.integers(0, 50, (3, CLASSES)) for _ in range(PICTURES)]
    return [Counts(tp, fp, fn, int((tp + fn).sum())) for tp, fp, fn in made]


def pixels_of(counts: list[Counts]) -> NDArray[np.int64]:
    return np.array([(count.tp, count.fp, count.fn) for count in counts])


def test_scores_of_resamples_are_those_of_the_pictures_drawn() -> None:
    counts = made_counts(0)
    (sums,) = totals([pixels_of(counts)], resamples=20, seed=3)
    scores = class_scores(sums)
    for number, drawn in enumerate([np.ones(PICTURES), *resample_weights(PICTURES, 20, 3)]):
        total = sum(count for count, times in zip(counts, drawn, strict=True) for _ in range(int(times)))
        assert scores["acc"][number] == pytest.approx(100 * accuracy(total))
        assert scores["miou"][number] == pytest.approx(100 * mean_iou(total))


def test_differences_are_those_of_the_tables_and_of_an_independent_bootstrap() -> None:
    before, after = made_counts(0), made_counts(1)
    old, new = (class_scores(sums) for sums in totals([pixels_of(before), pixels_of(after)]))
    for name, interval in zip(("acc", "miou"), change_intervals(before, after), strict=True):
        result = compare(new[name], old[name])
        assert (result.low, result.high) == pytest.approx(tuple(interval))
        assert result.difference == pytest.approx(result.value - result.reference)
    assert compare(new["acc"], old["acc"]).value == pytest.approx(100 * accuracy(sum(after)))


def test_means_leave_out_pictures_without_a_score() -> None:
    values = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan], [5.0, np.nan]])
    means = mean_scores(["some", "none"], *totals(known_values(values), resamples=20))
    assert means["some"][0] == pytest.approx(3)
    assert np.isnan(means["none"]).all()
    for mean, drawn in zip(means["some"][1:], resample_weights(4, 20, 0), strict=True):
        expected = [value for value, times in zip([1, 3, 5], drawn[[0, 2, 3]], strict=True) for _ in range(int(times))]
        assert mean == pytest.approx(np.mean(expected) if expected else np.nan, nan_ok=True)
    sampled = mean_scores(["score"], *totals(known_values(np.array([[1.0], [2], [4]]))))["score"]
    assert tuple(np.quantile(sampled[1:], (0.025, 0.975))) == pytest.approx(bootstrap_mean([1.0, 2, 4]))


def test_p_counts_both_sides() -> None:
    assert two_sided_p(np.zeros(2000)) == 1
    assert two_sided_p(np.ones(2000)) == pytest.approx(2 / 2001)
    assert two_sided_p(-np.ones(2000)) == pytest.approx(2 / 2001)
    assert two_sided_p(np.array([-1.0] * 10 + [1.0] * 1990)) == pytest.approx(22 / 2001)


def test_a_single_picture_has_no_interval() -> None:
    (sums,) = totals([pixels_of(made_counts(0)[:1])])
    scores = class_scores(sums)
    result = compare(scores["acc"], scores["acc"])
    assert result.difference == 0
    assert np.isnan([result.low, result.high, result.p]).all()


def test_holm_is_at_least_as_strict_as_benjamini_and_hochberg_and_keeps_the_order() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        p = random.uniform(0, 0.3, 6)
        corrected = np.array(holm(p))
        assert (corrected >= false_discovery_control(p) - 1e-12).all()
        assert (corrected >= p).all()
        assert corrected[p.argmin()] == pytest.approx(min(1, 6 * p.min()))
        assert (np.diff(corrected[p.argsort()]) >= 0).all()
    assert holm([0.5, np.nan, 0.01])[::2] == pytest.approx([0.5, 0.02])
    assert np.isnan(holm([0.5, np.nan])[1])
