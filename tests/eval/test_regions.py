"""Partitions against scikit-image, scikit-learn and brute force; and the authors' printed results of gPb-owt-ucm."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import variation_of_information
from sklearn.metrics import adjusted_rand_score, rand_score

from datasets.bsds500 import Bsds500
from diffseg.segmenters.base import Scene
from diffseg.segmenters.ucm import UCM
from eval.matching import contingency
from eval.records import SparseTable
from eval.regions import (
    Overlay,
    RegionScores,
    adjusted_rand_index,
    agreement,
    compare_regions,
    connected_regions,
    pooled_covering,
)
from tests.helpers.bsds import THRESHOLDS, printed

Map = NDArray[np.int64]


def compare(labels: Map, *people: Map) -> RegionScores:
    return compare_regions([SparseTable.of(table) for table in Overlay.of(people).tables(labels)[1]])


def random_maps(seed: int, count: int = 4) -> list[Map]:
    """Blocky label maps of 24 x 30 pixels with gaps in their numbering."""
    random = np.random.default_rng(seed)
    return [np.kron(3 * random.integers(0, 5, (8, 6)), np.ones((3, 5), np.int64)) for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_those_of_libraries_and_of_brute_force(seed: int) -> None:
    labels, *people = random_maps(seed)
    scores = compare(labels, *people)
    over, under = np.mean([variation_of_information(person, labels) for person in people], axis=0)
    assert (scores.voi_over, scores.voi_under) == pytest.approx((over, under), abs=1e-12)
    assert scores.pri == pytest.approx(
        np.mean([rand_score(each.ravel(), labels.ravel()) for each in people]), abs=1e-12
    )
    covered = 0.0
    for person in people:
        for region in np.unique(person):
            inside = person == region
            overlaps = [
                (inside & (labels == one)).sum() / (inside | (labels == one)).sum() for one in np.unique(labels)
            ]
            covered += inside.sum() * max(overlaps)
    assert scores.covering == pytest.approx(covered / (3 * labels.size), abs=1e-12)
    # A person who is as detailed as nobody else weighs as much as any other: pooled over pixels, not over regions.
    assert scores.areas.sum() == 3 * labels.size


def test_the_numbering_does_not_matter_and_equal_partitions_are_perfect() -> None:
    labels, *people = random_maps(7)
    scores, renumbered = compare(labels, *people), compare(70_000 - labels, *(person + 9 for person in people))
    assert (renumbered.covering, renumbered.pri) == (scores.covering, scores.pri)
    assert renumbered.voi == pytest.approx(scores.voi, abs=1e-12)
    perfect = compare(70_000 - labels, labels)
    assert (perfect.covering, perfect.pri, perfect.voi_over, perfect.voi_under) == (1, 1, 0, 0)
    single = compare(np.zeros_like(labels), labels)
    assert (single.voi_over, single.voi_under > 1) == (0, True)  # the truth is cut further, the segment is not


def test_overlays_count_like_a_loop_over_the_pixels() -> None:
    labels, *people = random_maps(3)
    people[1][5:9] = -1
    numbers, tables = Overlay.of(people).tables(labels)
    np.testing.assert_array_equal(numbers, np.unique(labels))
    for person, table in zip(people, tables, strict=True):
        assert table.shape == (person.max() + 1, len(numbers))
        for region in range(len(table)):
            expected = [((person == region) & (labels == number)).sum() for number in numbers]
            np.testing.assert_array_equal(table[region], expected)


def test_covering_of_a_set_is_pooled_over_its_regions() -> None:
    small, large = np.zeros((2, 2), np.int64), np.zeros((4, 4), np.int64)
    halves = np.repeat([[0, 1]], 2, axis=0)
    scores = [compare(small, halves), compare(large, large)]
    assert [each.covering for each in scores] == [0.5, 1.0]
    assert pooled_covering(scores) == (4 * 0.5 + 16 * 1.0) / 20  # not the mean over pictures, 0.75


def test_classes_are_split_into_connected_regions_and_void_is_left_out() -> None:
    label = np.array([[0, 1, 0], [0, 1, 0], [-1, 0, 1]])
    regions = connected_regions(label)
    np.testing.assert_array_equal(regions == -1, label == -1)
    assert len(np.unique(regions)) == 1 + 5  # corners do not connect
    assert compare(np.zeros_like(label), regions).areas.sum() == 8


@pytest.mark.parametrize("id", ["100007", "157032", "246009", "35028"])
def test_covering_and_its_threshold_are_those_that_the_authors_print(shared: Path, id: str) -> None:
    """And a pass over 99 thresholds is quick: 1.2 seconds on a free core, 2 are allowed."""
    root = shared / "data" / "bsds500"
    picture = Bsds500(root=str(root)).load(id)
    segmenters = [UCM(str(root / "BSDS500" / "ucm2" / "test"), threshold) for threshold in THRESHOLDS]
    scene = Scene(size=picture.image.shape[:2], id=id)
    start = time.process_time()
    overlay = Overlay.of(picture.people)
    maps = UCM.segment_all(scene, segmenters)
    tables = [overlay.tables(labels.numpy())[1] for labels in maps]
    scores = [compare_regions([SparseTable.of(table) for table in people]) for people in tables]
    assert time.process_time() - start < 5  # other processes may fill the machine
    covering = [each.covering for each in scores]
    threshold, expected, _ = printed(shared, "eval_cover_img.txt", id)
    assert THRESHOLDS[int(np.argmax(covering))] == threshold
    assert max(covering) == pytest.approx(expected, abs=2e-6)


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
    ((ari, voi, covering),) = agreement([SparseTable.count(prediction, truth, CLASSES)])
    prediction, truth = prediction[truth >= 0], truth[truth >= 0]
    assert ari == pytest.approx(adjusted_rand_score(truth, prediction), abs=1e-12)
    assert voi == pytest.approx(variation_of_information(truth, prediction).sum(), abs=1e-12)
    assert covering == pytest.approx(covering_by_pixels(prediction, truth), abs=1e-12)


def test_pairs_of_a_large_image_do_not_overflow() -> None:
    random = np.random.default_rng(0)
    prediction, truth = random.integers(0, 3, (1024, 2048)), random.integers(0, CLASSES, (1024, 2048))
    prediction[:512] = truth[:512]
    expected = adjusted_rand_score(truth.ravel(), prediction.ravel())
    assert adjusted_rand_index(contingency(prediction, truth, CLASSES)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("table", "scores"),
    [
        (np.diag([7, 0, 9])[[2, 0, 1]], (1.0, 0.0, 1.0)),  # equal partitions, whatever their numbers
        (np.array([[6, 0], [0, 0]]), (1.0, 0.0, 1.0)),  # one class and one segment
        (np.eye(3, dtype=int), (1.0, 0.0, 1.0)),  # classes and segments of one pixel
        (np.ones((1, 4), dtype=int), (0.0, 2.0, 0.25)),
        (
            np.array([[6, 0, 0], [2, 0, 0], [0, 0, 0]]),
            (0.0, -0.75 * math.log2(0.75) - 0.25 * math.log2(0.25), 0.75 * 0.75 + 0.25 * 0.25),
        ),
        (np.zeros((3, 4), dtype=int), (math.nan,) * 3),  # void alone
    ],
)
def test_scores_of_simple_tables_follow_the_definitions(table: np.ndarray, scores: tuple[float, ...]) -> None:
    others = [SparseTable.of(np.array([[3, 1]])), SparseTable.of(np.array([[0, 2], [5, 5]]))]
    first, second, third = agreement([others[0], SparseTable.of(table), others[1]])
    np.testing.assert_allclose(second, scores, atol=1e-15)
    np.testing.assert_array_equal([first, third], agreement(others))  # each table has its own scores


def test_renumbering_the_segments_changes_no_score() -> None:
    prediction, truth = image(3, 12, 0.4)
    renumbered = np.random.default_rng(1).permutation(12)[prediction]
    once, again = agreement([SparseTable.count(labels, truth, CLASSES) for labels in (prediction, renumbered)])
    assert again == pytest.approx(once, abs=1e-12)
