"""Class-agnostic scores against scikit-learn and scikit-image, brute force over pixels, and degenerate tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import variation_of_information as skimage_voi
from sklearn.metrics import adjusted_rand_score

from eval.agreement import adjusted_rand_index, agreement, covering, variation_of_information
from eval.matching import contingency

CLASSES = 5


def image(seed: int, segments: int, agreeing: float) -> tuple[np.ndarray, np.ndarray]:
    """A segmentation ``(40, 50)`` and a truth with void pixels. ``agreeing``: share of pixels that agree."""
    random = np.random.default_rng(seed)
    truth = random.integers(-1, CLASSES, (40, 50))
    segmentation = random.integers(0, segments, truth.shape)
    return np.where(random.random(truth.shape) < agreeing, truth.clip(0), segmentation), truth


def covering_by_pixels(prediction: np.ndarray, truth: np.ndarray) -> float:
    """The definition: the best intersection over union of each region, weighted by its pixels."""
    total = 0.0
    for region in np.unique(truth):
        inside = truth == region
        overlaps = [
            (inside & (prediction == segment)).sum() / (inside | (prediction == segment)).sum()
            for segment in np.unique(prediction)
        ]
        total += inside.sum() * max(overlaps)
    return total / truth.size


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("segments", "agreeing"), [(1, 0), (2, 0.9), (7, 0.5), (40, 0.2)])
def test_scores_are_those_of_independent_libraries(seed: int, segments: int, agreeing: float) -> None:
    prediction, truth = image(seed, segments, agreeing)
    table = contingency(prediction, truth, CLASSES)
    prediction, truth = prediction[truth >= 0], truth[truth >= 0]
    scores = agreement(table)
    assert scores.ari == pytest.approx(adjusted_rand_score(truth, prediction), abs=1e-12)
    assert scores.voi == pytest.approx(skimage_voi(truth, prediction).sum(), abs=1e-12)
    assert scores.covering == pytest.approx(covering_by_pixels(prediction, truth), abs=1e-12)


def test_pairs_of_a_large_image_do_not_overflow() -> None:
    random = np.random.default_rng(0)
    prediction, truth = random.integers(0, 3, (1024, 2048)), random.integers(0, CLASSES, (1024, 2048))
    prediction[:512] = truth[:512]
    expected = adjusted_rand_score(truth.ravel(), prediction.ravel())
    assert adjusted_rand_index(contingency(prediction, truth, CLASSES)) == pytest.approx(expected, abs=1e-12)


def test_equal_partitions_are_perfect_whatever_their_numbers() -> None:
    _, truth = image(0, 1, 0)
    table = contingency(np.where(truth < 0, 9, (truth + 2) % CLASSES), truth, CLASSES)
    assert agreement(table) == (1.0, 0.0, 1.0)


def test_scores_of_a_single_segment_follow_the_definitions() -> None:
    table = np.array([[6, 0, 0], [2, 0, 0], [0, 0, 0]])
    assert adjusted_rand_index(table) == 0
    assert variation_of_information(table) == pytest.approx(-0.75 * math.log2(0.75) - 0.25 * math.log2(0.25))
    assert covering(table) == pytest.approx(0.75 * 0.75 + 0.25 * 0.25)
    alone = np.array([[6, 0], [0, 0]])  # one class and one segment: equal partitions
    assert agreement(alone) == (1.0, 0.0, 1.0)


def test_segments_of_one_pixel_are_perfect_only_for_classes_of_one_pixel() -> None:
    table = np.eye(3, dtype=np.int64)
    assert agreement(table) == (1.0, 0.0, 1.0)
    split = np.ones((1, 4), dtype=np.int64)
    assert agreement(split) == (0.0, 2.0, 0.25)


def test_void_alone_has_no_score() -> None:
    table = contingency(np.zeros((4, 4), dtype=int), np.full((4, 4), -1), CLASSES)
    assert all(math.isnan(score) for score in agreement(table))


def test_renumbering_the_segments_changes_no_score() -> None:
    prediction, truth = image(3, 12, 0.4)
    renumbered = np.random.default_rng(1).permutation(12)[prediction]
    assert agreement(contingency(renumbered, truth, CLASSES)) == pytest.approx(
        agreement(contingency(prediction, truth, CLASSES)), abs=1e-12
    )
