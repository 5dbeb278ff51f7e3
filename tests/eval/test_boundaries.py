"""Boundaries against the people's own, brute force, and the authors' printed results of gPb-owt-ucm."""

from __future__ import annotations

import time
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from datasets.bsds500 import Bsds500
from diffseg.segmenters.base import Scene
from diffseg.segmenters.ucm import UCM
from eval.boundaries import (
    OUTLIER_COST,
    BoundaryCounts,
    average_precision,
    best_point,
    boundary_map,
    compare_boundaries,
    f_measure,
    match_pixels,
)
from tests.helpers.bsds import THRESHOLDS, printed


@pytest.mark.parametrize(("split", "number"), [("test", 3), ("val", 3)])
def test_boundaries_of_people_come_from_their_regions(shared: Path, split: str, number: int) -> None:
    dataset = Bsds500(root=str(shared / "data" / "bsds500"), split=split)  # type: ignore[arg-type]
    for id in dataset.ids[:number]:
        picture = dataset.load(id)
        for regions, boundaries in zip(picture.people, picture.boundaries, strict=True):
            np.testing.assert_array_equal(boundary_map(regions), boundaries)


@pytest.mark.parametrize("seed", range(8))
def test_matching_is_the_cheapest_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = np.zeros((2, 7, 7), bool)
    first.flat[random.choice(49, 5, replace=False)] = True
    second.flat[random.choice(49, 6, replace=False)] = True
    reach = 2.3
    ours, theirs = match_pixels(first, second, reach)
    assert ours.sum() == theirs.sum()
    assert not (ours & ~first).any()
    assert not (theirs & ~second).any()

    distances = np.hypot(*(np.argwhere(first)[:, None] - np.argwhere(second)[None]).transpose(2, 0, 1))
    costs = np.where(distances <= reach, distances, OUTLIER_COST * reach)
    cheapest = min(permutations(range(6), 5), key=lambda order: costs[range(5), list(order)].sum())
    pairs = [(row, column) for row, column in enumerate(cheapest) if distances[row, column] <= reach]
    assert ours.sum() == len(pairs)
    # The other way round the same pixels can be matched at the same price.
    assert [each.sum() for each in match_pixels(second, first, reach)] == [len(pairs), len(pairs)]


def test_pairs_keep_to_the_reach_and_maps_may_be_empty() -> None:
    first, second = np.zeros((2, 9, 9), bool)
    assert not any(each.any() for each in match_pixels(first, second, 3.0))
    first[4, 1] = second[4, 4] = second[0, 8] = True
    assert [each.sum() for each in match_pixels(first, second, 3.0)] == [1, 1]
    assert [each.sum() for each in match_pixels(first, second, 2.9)] == [0, 0]
    with pytest.raises(ValueError, match=r"^second: must have the shape of first"):
        match_pixels(first, second[:-1], 3.0)


def test_a_predicted_pixel_counts_once_if_any_person_has_it() -> None:
    labels = np.repeat([[0] * 20 + [1] * 20], 30, axis=0)
    boundary = boundary_map(labels)
    same, far, near = boundary, np.roll(boundary, 10, axis=1), np.roll(boundary, -1, axis=0) & boundary
    counts = compare_boundaries(labels, [same, far, near], tolerance=0.02)
    assert counts == BoundaryCounts(30 + int(near.sum()), 60 + int(near.sum()), 30, 30)
    assert (counts.recall, counts.precision) == (counts.matched_truth / counts.truth, 1.0)
    nothing = compare_boundaries(np.zeros_like(labels), [same])
    assert (nothing, nothing.f, nothing.precision) == (BoundaryCounts(0, 30, 0, 0), 0.0, 0.0)


def test_curves_are_read_as_in_the_authors_code(shared: Path) -> None:
    """Their recall and precision at each threshold give their figures of the set: ODS, and average precision."""
    folder = shared / "data" / "bsds500" / "BSDS500" / "ucm2" / "test_eval"
    thresholds, recall, precision, f = np.loadtxt(folder / "eval_bdry_thr.txt").T
    scale = 10**6  # they are printed with six digits
    matched = np.rint(np.stack((recall, precision)) * scale).astype(int).T.tolist()
    counts = [BoundaryCounts(truth, scale, ours, scale) for truth, ours in matched]
    np.testing.assert_allclose(f_measure(recall, precision), f, atol=2e-6)
    at, ods_recall, ods_precision, ods_f, *_, ap = np.loadtxt(folder / "eval_bdry.txt")
    assert best_point(thresholds, counts) == pytest.approx((at, ods_recall, ods_precision, ods_f), abs=1e-6)
    assert average_precision(counts) == pytest.approx(ap, abs=1e-6)
    assert average_precision(counts[::-1]) == average_precision(counts)
    assert average_precision(counts[:1]) == 0


@pytest.mark.parametrize("id", ["108069", "35028"])
def test_f_is_the_one_that_the_authors_print(shared: Path, id: str) -> None:
    """At their best threshold and its neighbours. A match takes half a second on a free core, 1 second is allowed."""
    root = shared / "data" / "bsds500"
    picture = Bsds500(root=str(root)).load(id)
    at, _, _, expected = printed(shared, "eval_bdry_img.txt", id)
    thresholds = [threshold for threshold in THRESHOLDS if abs(threshold - at) < 0.015]
    scene = Scene(size=picture.image.shape[:2], id=id)
    folder = str(root / "BSDS500" / "ucm2" / "test")
    counts = []
    for labels in UCM.segment_all(scene, [UCM(folder, threshold) for threshold in thresholds]):
        start = time.process_time()
        counts.append(compare_boundaries(labels.numpy(), picture.boundaries))
        assert time.process_time() - start < 3  # other processes may fill the machine
    assert best_point(thresholds, counts).f == pytest.approx(expected, abs=0.002)
