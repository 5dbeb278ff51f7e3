"""Metrics against scikit-learn; the bootstrap against a loop and against the normal approximation."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import bootstrap as scipy_bootstrap
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from eval.counts import Counts
from eval.matching import match
from eval.metrics import (
    Interval,
    acc_and_miou,
    accuracy,
    bootstrap_mean,
    interval,
    iou,
    iou_of,
    mean_iou,
    resample,
    resample_weights,
)


def some_counts(images: int, classes: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    tp, fp, fn = rng.integers(0, 1000, (3, images, classes))
    return {"tp": tp, "fp": fp, "fn": fn, "labelled": (tp + fn).sum(axis=1)}


def bootstrap(
    arrays: dict[str, np.ndarray], seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> list[Interval]:
    """Intervals of ACC and mIoU."""
    (sums,) = resample([np.stack([arrays[name] for name in ("tp", "fp", "fn")], axis=1)], resamples, seed)
    return [interval(values, level) for values in acc_and_miou(sums)]


def counts_of(arrays: dict[str, np.ndarray], images: np.ndarray) -> Counts:
    tp, fp, fn = (arrays[name][images].sum(axis=0) for name in ("tp", "fp", "fn"))
    return Counts(tp, fp, fn, int(arrays["labelled"][images].sum()))


def test_iou_is_the_jaccard_score_of_the_matched_labels() -> None:
    rng = np.random.default_rng(1)
    classes, segments = 5, 8
    truth = rng.integers(0, classes, 4000)
    # Segments follow the classes, so that the best match is unique. Their numbers are random, and three are too many.
    prediction = rng.permutation(segments)[np.where(rng.random(4000) < 0.3, rng.integers(0, segments, 4000), truth)]
    rows, columns = linear_sum_assignment(-confusion_matrix(truth, prediction, labels=range(segments)))
    relabelled = np.argsort(columns)[prediction]  # segment -> the row it is matched with; rows >= classes are empty
    assert (rows == np.arange(segments)).all()

    counts = match(prediction, truth, classes, "present")
    expected = jaccard_score(truth, relabelled, labels=range(classes), average=None)
    np.testing.assert_allclose(iou(counts), expected, rtol=1e-12)
    assert mean_iou(counts) == pytest.approx(expected.mean())
    assert accuracy(counts) == pytest.approx(accuracy_score(truth, relabelled))


def test_a_class_that_never_occurs_is_undefined_and_skipped() -> None:
    counts = Counts(np.array([3, 0, 0]), np.array([1, 0, 2]), np.array([0, 0, 0]), 3)
    np.testing.assert_equal(iou(counts), [0.75, np.nan, 0.0])
    assert mean_iou(counts) == 0.375
    assert accuracy(counts) == 1.0


def test_nothing_labelled_is_undefined_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nothing = Counts.zeros(3)
        assert math.isnan(accuracy(nothing))
        assert math.isnan(mean_iou(nothing))
        zeros = np.zeros((2, 3), int)
        assert np.isnan(bootstrap({"tp": zeros, "fp": zeros, "fn": zeros}, resamples=10)).all()


def test_resamples_without_a_labelled_pixel_are_left_out() -> None:
    arrays = {name: np.array([[pixels], [0]]) for name, pixels in {"tp": 5, "fp": 0, "fn": 5}.items()}
    acc, miou = bootstrap(arrays, resamples=100)
    assert acc == miou == (0.5, 0.5)


@pytest.mark.parametrize("level", [0.95, 0.5])
def test_bootstrap_equals_a_loop(level: float) -> None:
    arrays = some_counts(images=12, classes=4)
    for name in ("tp", "fp", "fn"):
        arrays[name][1:, 3] = 0  # a class of one image alone: undefined in the resamples without it
    arrays["labelled"] = (arrays["tp"] + arrays["fn"]).sum(axis=1)
    resamples = []
    for weights in resample_weights(12, resamples=200, seed=3):
        counts = counts_of(arrays, np.repeat(np.arange(12), weights.astype(int)))
        resamples.append((accuracy(counts), mean_iou(counts)))
    tails = [(1 - level) / 2, (1 + level) / 2]
    expected = np.quantile(resamples, tails, axis=0).T
    np.testing.assert_allclose(bootstrap(arrays, resamples=200, seed=3, level=level), expected, rtol=1e-12)


def test_the_interval_of_a_class_equals_a_loop() -> None:
    arrays = some_counts(images=12, classes=4)
    for name in ("tp", "fp", "fn"):
        arrays[name][1:, 2] = 0  # a class of one image alone
        arrays[name][:, 3] = 0  # and one of none
    resamples = [
        iou(counts_of(arrays, np.repeat(np.arange(12), weights.astype(int))))
        for weights in resample_weights(12, resamples=200, seed=3)
    ]
    low, high = np.nanquantile(resamples, [0.1, 0.9], axis=0)
    (sums,) = resample([np.stack([arrays[name] for name in ("tp", "fp", "fn")], axis=1)], 200, 3)
    ends = np.array([interval(values, 0.8) for values in iou_of(sums).T])
    np.testing.assert_allclose(ends[:3], np.stack([low, high], axis=1)[:3], rtol=1e-12)
    assert np.isnan(ends[3]).all()


def test_resamples_draw_images_with_replacement() -> None:
    weights = resample_weights(50, resamples=400, seed=0)
    assert (weights.sum(axis=1) == 50).all()
    assert (weights == weights.astype(int)).all()
    # The share of images that a resample leaves out is (1 - 1/n)**n: 36.4 % of 50.
    assert (weights == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.005)


def test_the_interval_is_near_the_normal_approximation() -> None:
    rng = np.random.default_rng(0)
    images, labelled = 400, 1000
    tp = rng.binomial(labelled, rng.uniform(0.3, 0.9, images))[:, None]
    acc, _ = bootstrap({"tp": tp, "fp": np.zeros_like(tp), "fn": labelled - tp})
    half = 1.96 * (tp / labelled).std() / math.sqrt(images)
    assert acc[0] == pytest.approx((tp / labelled).mean() - half, abs=0.1 * half)
    assert acc[1] == pytest.approx((tp / labelled).mean() + half, abs=0.1 * half)


def test_one_image_has_a_degenerate_interval() -> None:
    arrays = some_counts(images=1, classes=27)
    counts = counts_of(arrays, np.array([0]))
    acc, miou = bootstrap(arrays)
    assert acc == (accuracy(counts), accuracy(counts))
    assert miou == (mean_iou(counts), mean_iou(counts))


def test_the_same_seed_gives_the_same_interval() -> None:
    arrays = some_counts(images=30, classes=4)
    assert bootstrap(arrays) == bootstrap(arrays, seed=0, resamples=2000, level=0.95)
    assert bootstrap(arrays) != bootstrap(arrays, seed=1)


def test_interval_of_a_mean_is_that_of_scipy_and_skips_nan() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=200)
    low, high = bootstrap_mean(np.append(values, np.nan))
    independent = scipy_bootstrap((values,), np.mean, n_resamples=2000, method="percentile", rng=1)
    assert (low, high) == pytest.approx(independent.confidence_interval, abs=0.02)
    assert all(math.isnan(end) for end in bootstrap_mean([np.nan]))
