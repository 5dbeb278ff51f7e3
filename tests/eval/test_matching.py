"""Matching against the authors' counts, brute force over all assignments, and invariants."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from eval.matching import Counts, contingency, match, match_contingency
from eval.protocols import PROTOCOLS, ProtocolName

CLASSES = 4


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A segmentation and its truth, void pixels on both sides of the classes included. Few pixels: many ties."""
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=6))
    prediction = draw(arrays(np.int64, shape, elements=st.integers(0, 5)))
    truth = draw(arrays(np.int16, shape, elements=st.integers(-1, CLASSES)))
    return prediction, truth


def best_total(table: np.ndarray) -> int:
    """The most pixels any one-to-one assignment of classes to segments can get right, by trying them all."""
    rows = np.arange(len(table))
    return max(int(table[rows, list(p)].sum()) for p in permutations(range(table.shape[1]), len(table)))


def test_official_counts_are_those_of_the_authors_code(shared: Path) -> None:
    compared = 0
    for path in sorted((shared / "golden").glob("*.npz")):
        golden = np.load(path)
        for name in (key.removeprefix("hungarian_") for key in golden.files if key.startswith("hungarian_")):
            counts = match(golden[f"mask_{name}"], golden["labels27"])
            np.testing.assert_array_equal([counts.tp, counts.fp, counts.fn], golden[f"hungarian_{name}"], name)
            assert counts.labelled == golden[f"labelled_{name}"]
            compared += 1
    assert compared >= 9


def test_official_charges_absent_classes_and_present_does_not() -> None:
    truth, prediction = np.array([0, 0, 0]), np.array([0, 0, 1])
    official, present = match(prediction, truth, 3), match(prediction, truth, 3, "present")
    assert official.tp.tolist() == present.tp.tolist() == [2, 0, 0]
    assert official.fn.tolist() == present.fn.tolist() == [1, 0, 0]
    assert official.fp[0] == 0
    assert official.fp.sum() == 1
    assert present.fp.sum() == 0


def test_present_leaves_a_class_without_a_segment_unmatched() -> None:
    # Class 1 overlaps segment 0 alone, which class 0 wins; segment 1 is left, but shares no pixel with class 1.
    counts = match(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 0]), 2, "present")
    assert counts.to_json() == {"tp": [3, 0], "fp": [1, 0], "fn": [1, 1], "labelled": 5}


@given(image=images())
@settings(deadline=None)
def test_the_total_is_the_best_of_all_assignments(image: tuple[np.ndarray, np.ndarray]) -> None:
    table = contingency(*image, CLASSES)
    for protocol in PROTOCOLS:
        assert match_contingency(table, protocol).tp.sum() == best_total(table)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=500)
def test_renumbering_the_segments_leaves_present_unchanged(seed: int) -> None:
    # Cells of 0, 1 and 2 pixels, drawn evenly: nearly every table has several best matches. With eight classes
    # even the number of empty columns, which gaps in the numbering make, can decide between them.
    rng = np.random.default_rng(seed)
    classes = 8
    table = rng.integers(0, 3, (classes, rng.integers(1, classes + 1)))
    truth, prediction = (np.repeat(axis.ravel(), table.ravel()) for axis in np.indices(table.shape))
    renumbered = rng.permutation(2 * classes)[prediction]
    assert match(renumbered, truth, classes, "present") == match(prediction, truth, classes, "present")


@given(image=images(), protocol=st.sampled_from(PROTOCOLS))
@settings(deadline=None)
def test_counts_add_up_and_void_pixels_do_not_count(
    image: tuple[np.ndarray, np.ndarray], protocol: ProtocolName
) -> None:
    prediction, truth = image
    labelled = (truth >= 0) & (truth < CLASSES)
    counts = match(prediction, truth, CLASSES, protocol)
    assert counts.tp.sum() + counts.fn.sum() == counts.labelled == labelled.sum()
    np.testing.assert_array_equal(counts.tp + counts.fn, np.bincount(truth[labelled], minlength=CLASSES))
    # Each segment goes to one class at most, so the matched segments hold no more than the labelled pixels.
    assert counts.tp.sum() + counts.fp.sum() <= counts.labelled
    assert (counts.tp >= 0).all()
    assert (counts.fp >= 0).all()
    # What the segmentation says in void pixels, and which void value they hold, changes nothing.
    if protocol == "present":
        assert match(np.where(labelled, prediction, 50), truth, CLASSES, protocol) == counts
    assert match(prediction, np.where(labelled, truth, 255), CLASSES, protocol) == counts


def test_contingency_is_padded_by_labels_in_void_pixels_too() -> None:
    assert contingency(np.array([0, 1]), np.array([0, 0]), 3).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert contingency(np.array([0, 7]), np.array([0, -1]), 3).shape == (3, 8)


def test_an_image_without_labels_counts_nothing() -> None:
    for protocol in PROTOCOLS:
        assert match(np.zeros((2, 2), int), np.full((2, 2), -1), protocol=protocol) == Counts.zeros(27)


def test_narrow_dtypes_do_not_overflow() -> None:
    prediction, truth = np.array([[200, 250]], np.uint8), np.array([[26, 3]], np.int8)
    expected = match(prediction.astype(int), truth.astype(int))
    assert match(prediction, truth) == expected
    assert expected.tp.sum() == 2


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        ([[0, -1]], [[0, 0]], "prediction: segments are numbered from 0, got -1"),
        ([[0.0, 1.0]], [[0, 0]], "prediction: must hold integers, got float64"),
        ([[0, 1]], [[0.0, 0.0]], "truth: must hold integers, got float64"),
        ([[0, 1]], [[0], [0]], r"prediction: must have the shape of truth, \(2, 1\), got \(1, 2\)"),
    ],
)
def test_wrong_input_is_named(prediction: list, truth: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        match(np.array(prediction), np.array(truth))


def test_unknown_protocol_is_named() -> None:
    with pytest.raises(ValueError, match="protocol: must be one of official, present, got 'both'"):
        match(np.array([0]), np.array([0]), protocol="both")  # type: ignore[arg-type]


def test_counts_sum_and_survive_json() -> None:
    rng = np.random.default_rng(0)
    parts = [match(rng.integers(0, 5, (8, 8)), rng.integers(-1, 4, (8, 8)), 4) for _ in range(3)]
    total = sum(parts)
    assert total == parts[2] + parts[0] + parts[1]
    assert total.labelled == sum(part.labelled for part in parts)
    assert total != parts[0]
    assert Counts.from_json(total.to_json()) == total
    assert Counts.from_json(total.to_json()).tp.dtype == np.int64
