"""Scores of a data set from the tables of its images: protocol dataset, confusion matrices, and sparse tables."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as sklearn_confusion

from eval.matching import Counts, contingency, match_contingency
from eval.protocols import ALL_PROTOCOLS, PROTOCOLS, ProtocolName
from eval.scores import SparseTable, confusion_matrix, count_images, sum_of_tables

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


@pytest.mark.parametrize("protocol", ALL_PROTOCOLS)
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
    total = sum_of_tables(sparse(*tables))
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


@pytest.mark.parametrize("protocol", ALL_PROTOCOLS)
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
    for protocol in ALL_PROTOCOLS:
        matrix = confusion_matrix(sparse(table), protocol)
        np.testing.assert_array_equal(matrix[:, :CLASSES], expected)
        assert not matrix[:, CLASSES].any()


def test_a_segment_without_a_class_is_in_the_last_column() -> None:
    matrix = confusion_matrix(sparse(np.array([[5, 3], [0, 0]])), "present")
    assert matrix.tolist() == [[5, 0, 3], [0, 0, 0]]


def test_a_sparse_table_survives_json() -> None:
    for table in (*random_tables(0), np.zeros((CLASSES, 9), dtype=np.int64)):
        again = SparseTable.from_json(json.loads(json.dumps(SparseTable.of(table).to_json())))
        np.testing.assert_array_equal(again.dense(), table)
