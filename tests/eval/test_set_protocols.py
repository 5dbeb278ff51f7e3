"""Matches of a whole data set against STEGO's rule and brute force, and the spread of `official` over numberings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from eval.matching import Counts, IntArray, contingency, counts_of_match, match_contingency
from eval.metrics import accuracy, mean_iou
from eval.records import SparseTable
from eval.scores import count_images
from eval.set_protocols import (
    match_dataset,
    match_dataset_all,
    official_over_numberings,
    sum_of_tables,
)

CLASSES = 5


def stego(pairs: Sequence[tuple[NDArray, NDArray]]) -> tuple[float, float]:
    """ACC and mIoU as STEGO's ``UnsupervisedMetrics`` computes them, with extra_clusters 0 and Hungarian matching.

    It keeps a table of clusters by classes; pixels with a truth or a cluster outside the classes are left out.
    """
    stats = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    for prediction, truth in pairs:
        kept = (truth >= 0) & (truth < CLASSES) & (prediction < CLASSES)
        np.add.at(stats, (prediction[kept], truth[kept]), 1)
    _, classes = linear_sum_assignment(stats, maximize=True)
    histogram = stats[np.argsort(classes)]
    right = np.diag(histogram)
    with np.errstate(invalid="ignore"):
        iou = right / (histogram.sum(axis=0) + histogram.sum(axis=1) - right)
    return right.sum() / histogram.sum(), float(np.nanmean(iou))


def random_maps(seed: int, clusters: int) -> list[tuple[NDArray, NDArray]]:
    """Maps of four images. Some classes may occur in none, and few pixels make ties."""
    rng = np.random.default_rng(seed)
    occurring = rng.permutation(CLASSES)[: rng.integers(1, CLASSES + 1)]
    return [
        (rng.integers(0, clusters, 12), np.where(rng.random(12) < 0.1, -1, rng.choice(occurring, 12))) for _ in range(4)
    ]


def counts_of(tables: Sequence[IntArray], match: tuple[IntArray, IntArray]) -> Counts:
    rows, columns = match
    images = ((table, columns < table.shape[1]) for table in tables)
    return sum((counts_of_match(table, rows[seen], columns[seen]) for table, seen in images), Counts.zeros(CLASSES))


@pytest.mark.parametrize("clusters", [1, 3, CLASSES])
def test_dataset_all_is_stegos_rule(clusters: int) -> None:
    lower = 0
    for seed in range(200):
        pairs = random_maps(seed, clusters)
        tables = [contingency(*pair, CLASSES) for pair in pairs]
        counts = counts_of(tables, match_dataset_all(tables))
        assert (accuracy(counts), mean_iou(counts)) == pytest.approx(stego(pairs), abs=1e-12)
        present = counts_of(tables, match_dataset(tables))
        assert accuracy(counts) == accuracy(present)
        lower += mean_iou(counts) < mean_iou(present) - 1e-9
    assert (lower > 50) == (clusters > 1)  # a leftover cluster goes to a class that occurs nowhere


def test_a_class_that_occurs_nowhere_takes_a_leftover_cluster() -> None:
    table = contingency(np.repeat([0, 1], 128), np.zeros(256, int), 2)
    assert mean_iou(counts_of_match(table, *match_dataset_all([table]))) == 0.25
    assert mean_iou(counts_of_match(table, *match_dataset([table]))) == 0.5


def test_leftover_clusters_beyond_the_classes_add_only_to_fn() -> None:
    for seed in range(50):
        tables = [contingency(*pair, CLASSES) for pair in random_maps(seed, CLASSES + 2)]
        total, counts = sum_of_tables(tables), counts_of(tables, match_dataset_all(tables))
        ways = permutations(range(total.shape[1]), CLASSES)
        assert counts.tp.sum() == max(total[np.arange(CLASSES), list(way)].sum() for way in ways)
        assert counts.labelled == total.sum()


def test_a_background_takes_what_is_left_in_both() -> None:
    tables = [contingency(*pair, CLASSES) for pair in random_maps(1, CLASSES + 2)]
    for one, other in zip(match_dataset_all(tables, 0), match_dataset(tables, 0), strict=True):
        np.testing.assert_array_equal(one, other)


def many_to_one(tables: Sequence[IntArray], background: int | None) -> tuple[IntArray, IntArray]:
    """Each cluster gets the class that it overlaps most in the whole data set, as OCL's majority vote."""
    total = sum_of_tables(tables)
    columns = np.flatnonzero(total.any(axis=0))
    return total[:, columns].argmax(axis=0), columns


many_to_one.needs_set = True  # type: ignore[attr-defined]


def test_a_function_outside_may_need_the_set() -> None:
    # Alone, segment 1 of the second image would be class 1; over both it is class 0.
    tables = [SparseTable.of(np.array([[5, 4], [1, 0]])), SparseTable.of(np.array([[1, 1], [0, 2]]))]
    first, second = count_images(tables, f"{__name__}.many_to_one")
    assert (first.tp.tolist(), first.fp.tolist()) == ([9, 0], [1, 0])
    assert (second.tp.tolist(), second.fp.tolist()) == ([2, 0], [2, 0])


def test_the_spread_over_numberings_is_that_of_all_numberings() -> None:
    table = np.array([[6, 3, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    other = np.array([[0, 0], [7, 1], [0, 0], [0, 0]])
    scores = []
    for first in permutations(range(3)):
        for second in permutations(range(2)):
            images = (np.pad(table[:, first], ((0, 0), (0, 1))), np.pad(other[:, second], ((0, 0), (0, 2))))
            scores.append(mean_iou(sum((match_contingency(image) for image in images), Counts.zeros(4))))
    spread = official_over_numberings([table, other], n=200)
    assert (spread.low, spread.high) == pytest.approx((min(scores), max(scores)))
    assert spread.mean == pytest.approx(np.mean(scores), abs=0.03)
    assert spread.low < spread.high
    assert spread == official_over_numberings([table, other], n=200)


def test_pixels_in_no_segment_lower_the_spread() -> None:
    table = np.array([[2, 0], [0, 1]])
    assert official_over_numberings([table], n=5, missed=[np.array([0, 1])]) == (0.75, 0.75, 0.75)
