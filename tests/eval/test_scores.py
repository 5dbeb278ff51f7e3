"""Scores of a data set from the tables of its images: protocol dataset, confusion matrices, and sparse tables."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as sklearn_confusion

from eval.agreement import agreement
from eval.matching import Counts, contingency, match_contingency
from eval.protocols import ALL_PROTOCOLS, PROTOCOLS, SET_PROTOCOLS, ProtocolName, needs_classes
from eval.records import SparseTable
from eval.scores import MOST_NUMBERS, confusion_matrix, count_images

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
    assert count_images([], protocol) == []


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
        assert count_images(sparse(table), "dataset", background) == [match_contingency(table, "present", background)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_protocols_match_each_image(protocol: ProtocolName) -> None:
    tables = random_tables(3)
    assert count_images(sparse(*tables), protocol) == [match_contingency(table, protocol) for table in tables]


@pytest.mark.parametrize("protocol", MATCHING)
@pytest.mark.parametrize("background", [None, 1])
def test_the_confusion_matrix_holds_the_counts(protocol: ProtocolName, background: int | None) -> None:
    tables = sparse(*random_tables(4))
    total = sum(count_images(tables, protocol, background), Counts.zeros(CLASSES))
    matrix = confusion_matrix(tables, protocol, background)
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
        matrix = confusion_matrix(sparse(table), protocol)
        np.testing.assert_array_equal(matrix[:, :CLASSES], expected)
        assert not matrix[:, CLASSES].any()


def test_a_segment_without_a_class_is_in_the_last_column() -> None:
    matrix = confusion_matrix(sparse(np.array([[5, 3], [0, 0]])), "present")
    assert matrix.tolist() == [[5, 0, 3], [0, 0, 0]]


def with_numbers(table: SparseTable, numbers: np.ndarray) -> SparseTable:
    """The same segments under other numbers."""
    order = np.argsort(numbers)
    return replace(table, numbers=numbers[order], columns=np.argsort(order)[table.columns])


@pytest.mark.parametrize("seed", range(5))
def test_gaps_in_the_numbers_move_neither_present_nor_the_scores_without_classes(seed: int) -> None:
    for table in sparse(*random_tables(seed)):
        gaps = replace(table, numbers=table.numbers * 3 + 7)
        assert count_images([gaps], "present") == count_images([table], "present")
        assert count_images([gaps], "present") == [match_contingency(gaps.numbered(), "present")]
        assert agreement(gaps.dense()) == agreement(gaps.numbered()[:, gaps.numbers])


@pytest.mark.parametrize("seed", range(5))
def test_official_of_files_does_not_depend_on_what_their_numbers_are(seed: int) -> None:
    """Only their order counts: whoever writes the same segments with gaps, or from 1 on, has the same score."""
    tables = sparse(*random_tables(seed))
    gaps = [replace(table, numbers=table.numbers * 3 + 7) for table in tables]
    compact = [replace(table, numbers=np.arange(table.segments)) for table in tables]
    expected = count_images(compact, "official")
    assert count_images(gaps, "official", renumbered=True) == expected == count_images(compact, "official", None, True)
    matrix = confusion_matrix(gaps, "official", None, True)
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
    assert confusion_matrix([table], protocol).tolist() == [[2, 0, 1], [0, 1, 1]]
