"""Counts of a data set from the tables of its images, against STEGO's rule, scikit-learn and brute force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import confusion_matrix as sklearn_confusion

from eval.counts import Counts
from eval.matching import MOST_NUMBERS, IntArray, contingency, count_images, match_contingency
from eval.metrics import accuracy, mean_iou, official_over_numberings
from eval.protocols import ALL_PROTOCOLS, PROTOCOLS, SET_PROTOCOLS, ProtocolName, needs_classes
from eval.records import SparseTable
from eval.regions import agreement

MATCHING = tuple(filter(needs_classes, ALL_PROTOCOLS))

CLASSES = 4


def sparse(*tables: np.ndarray) -> list[SparseTable]:
    return [SparseTable.of(table) for table in tables]


def random_tables(seed: int, images: int = 5) -> list[np.ndarray]:
    """Tables of images whose segments follow the classes a little; some images lack classes, widths differ."""
    random = np.random.default_rng(seed)
    tables = []
    for _ in range(images):
        truth = random.choice(random.permutation(CLASSES)[: random.integers(1, CLASSES + 1)], 300)
        truth[random.random(300) < 0.1] = -1
        segments = random.integers(0, random.integers(1, 7), 300)
        tables.append(contingency(np.where(random.random(300) < 0.4, truth.clip(0), segments), truth, CLASSES))
    return tables


def test_dataset_matches_the_sum_of_all_images_once() -> None:
    # Alone, image 2 would give segment 0 to class 1; over both images segment 0 is class 0.
    first = np.array([[8, 1, 0], [0, 3, 0], [0, 0, 0]])
    second = np.array([[0, 0, 0], [2, 0, 0], [0, 0, 0]])
    one, two = count_images(sparse(first, second), "dataset")
    assert (one.tp.tolist(), one.fp.tolist(), one.fn.tolist()) == ([8, 3, 0], [0, 1, 0], [1, 0, 0])
    assert (two.tp.tolist(), two.fp.tolist(), two.fn.tolist()) == ([0, 0, 0], [2, 0, 0], [0, 2, 0])


@pytest.mark.parametrize("protocol", MATCHING)
def test_without_images_there_are_no_counts(protocol: ProtocolName) -> None:
    assert list(count_images([], protocol, n_classes=3)) == []


def test_dataset_leaves_a_segment_without_a_class_to_fn() -> None:
    (counts,) = count_images(sparse(np.array([[5, 4, 0], [0, 0, 0], [0, 0, 0]])), "dataset")
    assert (counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist()) == ([5, 0, 0], [0, 0, 0], [4, 0, 0])


def test_dataset_gives_the_background_many_segments() -> None:
    tables = sparse(np.array([[5, 4, 0, 1], [0, 1, 6, 0]]), np.array([[3, 0, 2], [0, 0, 7]]))
    total = sum(count_images(tables, "dataset", background=0), Counts.zeros(2))
    assert (total.tp.tolist(), total.fp.tolist(), total.fn.tolist()) == ([13, 13], [1, 2], [2, 1])


@pytest.mark.parametrize("seed", range(5))
def test_dataset_finds_the_match_on_which_most_pixels_of_all_images_agree(seed: int) -> None:
    tables = random_tables(seed)
    counts = count_images(sparse(*tables), "dataset")
    widest = max(table.shape[1] for table in tables)
    total = sum(np.pad(table, ((0, 0), (0, widest - table.shape[1]))) for table in tables)
    classes = np.arange(CLASSES)
    best = max(int(total[classes, list(chosen)].sum()) for chosen in permutations(range(total.shape[1]), CLASSES))
    assert sum(int(each.tp.sum()) for each in counts) == best
    for each, table in zip(counts, tables, strict=True):
        assert each.labelled == table.sum() == each.tp.sum() + each.fn.sum()


@pytest.mark.parametrize("background", [None, 2])
def test_dataset_of_one_image_is_score_present(background: int | None) -> None:
    for table in random_tables(7):
        (counts,) = count_images(sparse(table), "dataset", background)
        assert counts == match_contingency(table, "present", background)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_protocols_match_each_image(protocol: ProtocolName) -> None:
    tables = random_tables(3)
    assert list(count_images(sparse(*tables), protocol)) == [match_contingency(table, protocol) for table in tables]


@pytest.mark.parametrize("protocol", MATCHING)
@pytest.mark.parametrize("background", [None, 1])
def test_the_confusion_matrix_holds_the_counts(protocol: ProtocolName, background: int | None) -> None:
    tables = sparse(*random_tables(4))
    total = sum(count_images(tables, protocol, background), Counts.zeros(CLASSES))
    matrix = count_images(tables, protocol, background).confusion
    assert matrix.shape == (CLASSES, CLASSES + 1)
    np.testing.assert_array_equal(np.diag(matrix), total.tp)
    np.testing.assert_array_equal(matrix.sum(axis=1) - np.diag(matrix), total.fn)
    np.testing.assert_array_equal(matrix.sum(axis=0)[:CLASSES] - np.diag(matrix), total.fp)
    assert matrix.sum() == total.labelled


def test_the_confusion_matrix_is_that_of_scikit_learn_once_segments_have_their_classes() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, CLASSES, 2000)
    taken_for = np.where(random.random(2000) < 0.7, truth, random.integers(0, CLASSES, 2000))
    numbers = np.array([3, 0, 2, 1])  # numbers of the segments
    table = contingency(numbers[taken_for], truth, CLASSES)
    expected = sklearn_confusion(truth, taken_for)
    for protocol in MATCHING:
        matrix = count_images(sparse(table), protocol).confusion
        np.testing.assert_array_equal(matrix[:, :CLASSES], expected)
        assert not matrix[:, CLASSES].any()


def test_a_segment_without_a_class_is_in_the_last_column() -> None:
    matrix = count_images(sparse(np.array([[5, 3], [0, 0]])), "present").confusion
    assert matrix.tolist() == [[5, 0, 3], [0, 0, 0]]


def with_numbers(table: SparseTable, numbers: np.ndarray) -> SparseTable:
    """The same segments under other numbers."""
    order = np.argsort(numbers)
    return replace(table, numbers=numbers[order], columns=np.argsort(order)[table.columns])


@pytest.mark.parametrize("seed", range(5))
def test_gaps_in_the_numbers_move_neither_present_nor_the_scores_without_classes(seed: int) -> None:
    for table in sparse(*random_tables(seed)):
        gaps = replace(table, numbers=table.numbers * 3 + 7)
        (counts,) = count_images([gaps], "present")
        assert [counts] == list(count_images([table], "present"))
        assert counts == match_contingency(gaps.numbered(), "present")
        np.testing.assert_array_equal(agreement([gaps]), agreement([SparseTable.of(gaps.numbered())]))


@pytest.mark.parametrize("seed", range(5))
def test_official_of_files_does_not_depend_on_what_their_numbers_are(seed: int) -> None:
    """Only their order counts: whoever writes the same segments with gaps, or from 1 on, has the same score."""
    tables = sparse(*random_tables(seed))
    gaps = [replace(table, numbers=table.numbers * 3 + 7) for table in tables]
    compact = [replace(table, numbers=np.arange(table.segments)) for table in tables]
    expected = list(count_images(compact, "official"))
    assert list(count_images(gaps, "official", renumbered=True)) == expected
    assert list(count_images(compact, "official", renumbered=True)) == expected
    matrix = count_images(gaps, "official", None, True).confusion
    np.testing.assert_array_equal(np.diag(matrix), sum(expected, Counts.zeros(CLASSES)).tp)


def test_official_reads_the_numbers_of_a_method_that_numbers_itself() -> None:
    """A class that no pixel has is charged the leftover segment, and the numbers decide which one."""
    table = SparseTable.of(np.array([[5, 3, 2], [0, 0, 0]]))
    falsely = {
        tuple(count_images([with_numbers(table, np.array(numbers))], "official")[0].fp.tolist())
        for numbers in permutations(range(3))
    }
    assert falsely == {(0, 3), (0, 2)}


@pytest.mark.parametrize("protocol", SET_PROTOCOLS)
@pytest.mark.parametrize("seed", range(3))
def test_a_data_set_with_gaps_in_its_numbers_is_matched_like_one_without(protocol: ProtocolName, seed: int) -> None:
    """Images that lack numbers, and numbers too large for a column each, make no difference."""
    tables = sparse(*random_tables(seed))
    far = [replace(table, numbers=table.numbers + 10**9) for table in tables]
    assert far[0].numbers.max() > MOST_NUMBERS
    assert [counts.tp.sum() for counts in count_images(far, protocol)] == [
        counts.tp.sum() for counts in count_images(tables, protocol)
    ]
    some = [SparseTable.count(np.array([5, 5, 900]), np.array([0, 0, 1]), 2), SparseTable.of(np.array([[0], [4]]), [5])]
    one, two = count_images(some, protocol)  # number 5 is class 1: 4 of 6 pixels
    assert (one.tp.tolist(), one.fp.tolist(), one.fn.tolist()) == ([0, 0], [0, 2], [2, 1])
    assert (two.tp.tolist(), two.fp.tolist(), two.fn.tolist()) == ([0, 4], [0, 0], [0, 0])


@pytest.mark.parametrize("protocol", MATCHING)
def test_pixels_in_no_segment_are_missed(protocol: ProtocolName) -> None:
    table = SparseTable.count(np.array([0, 0, -1, -1, 1, -1]), np.array([0, 0, 0, 1, 1, -1]), 2)
    (counts,) = count_images([table], protocol)
    assert (counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist()) == ([2, 1], [0, 0], [1, 1])
    assert counts.labelled == 5
    assert count_images([table], protocol).confusion.tolist() == [[2, 0, 1], [0, 1, 1]]


CLUSTERED = 5


def stego(pairs: Sequence[tuple[NDArray, NDArray]]) -> tuple[float, float]:
    """ACC and mIoU as STEGO's ``UnsupervisedMetrics`` computes them, with extra_clusters 0 and Hungarian matching.

    It keeps a table of clusters by classes; pixels with a truth or a cluster outside the classes are left out.
    """
    stats = np.zeros((CLUSTERED, CLUSTERED), dtype=np.int64)
    for prediction, truth in pairs:
        kept = (truth >= 0) & (truth < CLUSTERED) & (prediction < CLUSTERED)
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
    occurring = rng.permutation(CLUSTERED)[: rng.integers(1, CLUSTERED + 1)]
    return [
        (rng.integers(0, clusters, 12), np.where(rng.random(12) < 0.1, -1, rng.choice(occurring, 12))) for _ in range(4)
    ]


def total_of(pairs: Sequence[tuple[NDArray, NDArray]], protocol: ProtocolName, background: int | None = None) -> Counts:
    return count_images([SparseTable.count(*pair, CLUSTERED) for pair in pairs], protocol, background).total


@pytest.mark.parametrize("clusters", [1, 3, CLUSTERED])
def test_dataset_all_is_stegos_rule(clusters: int) -> None:
    lower = 0
    for seed in range(200):
        pairs = random_maps(seed, clusters)
        counts, present = total_of(pairs, "dataset_all"), total_of(pairs, "dataset")
        assert (accuracy(counts), mean_iou(counts)) == pytest.approx(stego(pairs), abs=1e-12)
        assert accuracy(counts) == accuracy(present)
        lower += mean_iou(counts) < mean_iou(present) - 1e-9
    assert (lower > 50) == (clusters > 1)  # a leftover cluster goes to a class that occurs nowhere


def test_a_class_that_occurs_nowhere_takes_a_leftover_cluster() -> None:
    tables = [SparseTable.count(np.repeat([0, 1], 128), np.zeros(256, int), 2)]
    assert mean_iou(count_images(tables, "dataset_all").total) == 0.25
    assert mean_iou(count_images(tables, "dataset").total) == 0.5


def test_leftover_clusters_beyond_the_classes_add_only_to_fn() -> None:
    for seed in range(50):
        pairs = random_maps(seed, CLUSTERED + 2)
        counts = total_of(pairs, "dataset_all")
        total = np.sum([contingency(*pair, CLUSTERED + 2)[:CLUSTERED] for pair in pairs], axis=0)
        ways = permutations(range(total.shape[1]), CLUSTERED)
        assert counts.tp.sum() == max(total[np.arange(CLUSTERED), list(way)].sum() for way in ways)
        assert counts.labelled == total.sum()


def test_a_background_takes_what_is_left_in_both() -> None:
    pairs = random_maps(1, CLUSTERED + 2)
    assert total_of(pairs, "dataset_all", 0) == total_of(pairs, "dataset", 0)


def many_to_one(tables: Sequence[IntArray], background: int | None) -> tuple[IntArray, IntArray]:
    """Each cluster gets the class that it overlaps most in the whole data set, as OCL's majority vote."""
    total = np.sum(tables, axis=0)
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
    tables = [SparseTable.of(table), SparseTable.of(other)]
    low, mean, high = official_over_numberings(tables, n=200)
    assert (low, high) == pytest.approx((min(scores), max(scores)))
    assert mean == pytest.approx(np.mean(scores), abs=0.03)
    assert low < high
    assert (low, mean, high) == official_over_numberings(tables, n=200)


def test_pixels_in_no_segment_lower_the_spread() -> None:
    table = SparseTable.of(np.array([[0, 2, 0], [1, 0, 1]]), [-1, 0, 1])
    assert official_over_numberings([table], n=5) == (0.75, 0.75, 0.75)
