"""Matching against the authors' counts, DiffCut's procedure, brute force over all assignments, and invariants."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.optimize import linear_sum_assignment

from eval.counts import Counts
from eval.matching import contingency, match, match_contingency
from eval.protocols import PROTOCOLS, ProtocolName
from tests.conftest import GOLDEN

CLASSES = 4


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A segmentation and its truth, with void values below and above the classes. Few pixels make many ties."""
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=6))
    prediction = draw(arrays(np.int64, shape, elements=st.integers(0, 5)))
    truth = draw(arrays(np.int16, shape, elements=st.integers(-1, CLASSES)))
    return prediction, truth


def best_total(table: np.ndarray) -> int:
    """Most pixels that a one-to-one assignment of classes to segments gets right. Tries all assignments."""
    rows = np.arange(len(table))
    return max(int(table[rows, list(p)].sum()) for p in permutations(range(table.shape[1]), len(table)))


def test_official_counts_are_those_of_the_authors_code() -> None:
    compared = 0
    for path in sorted(GOLDEN.glob("*.npz")):
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


@given(seed=st.integers(0, 2**32 - 1), background=st.sampled_from((None, 0, 5)))
@settings(deadline=None, max_examples=500)
def test_renumbering_the_segments_leaves_present_unchanged(seed: int, background: int | None) -> None:
    # Cells of 0, 1 and 2 pixels, drawn evenly: nearly every table has several best matches. With eight classes
    # even the number of empty columns, which gaps in the numbering make, can decide between them.
    rng = np.random.default_rng(seed)
    classes = 8
    table = rng.integers(0, 3, (classes, rng.integers(1, classes + 1)))
    truth, prediction = (np.repeat(axis.ravel(), table.ravel()) for axis in np.indices(table.shape))
    renumbered = rng.permutation(2 * classes)[prediction]
    again, once = (match(labels, truth, classes, "present", background) for labels in (renumbered, prediction))
    assert again == once


@given(image=images(), protocol=st.sampled_from(PROTOCOLS), background=st.sampled_from((None, 0, CLASSES - 1)))
@settings(deadline=None)
def test_counts_add_up_and_void_pixels_do_not_count(
    image: tuple[np.ndarray, np.ndarray], protocol: ProtocolName, background: int | None
) -> None:
    prediction, truth = image
    labelled = (truth >= 0) & (truth < CLASSES)
    counts = match(prediction, truth, CLASSES, protocol, background)
    assert counts.tp.sum() + counts.fn.sum() == counts.labelled == labelled.sum()
    np.testing.assert_array_equal(counts.tp + counts.fn, np.bincount(truth[labelled], minlength=CLASSES))
    # Each segment goes to one class at most, so the matched segments hold no more than the labelled pixels.
    assert counts.tp.sum() + counts.fp.sum() <= counts.labelled
    assert (counts.tp >= 0).all()
    assert (counts.fp >= 0).all()
    # Labels in void pixels, and the value that marks them as void, change nothing.
    if protocol == "present":
        assert match(np.where(labelled, prediction, 50), truth, CLASSES, protocol, background) == counts
    assert match(prediction, np.where(labelled, truth, 255), CLASSES, protocol, background) == counts


# With a background


def diffcut(prediction: np.ndarray, truth: np.ndarray, n_classes: int) -> list[np.ndarray]:
    """TP, FP and FN as DiffCut's ``eval_diffcut.py`` counts them: background is -1 at first, later the last class."""

    def solve(classes: int, segments: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = (labels >= 0) & (labels < classes)
        table = np.zeros((classes, max(classes, segments.max() + 1)), int)
        np.add.at(table, (labels[inside], segments[inside]), 1)
        return table, linear_sum_assignment(table, maximize=True)[1]

    table, segment_of = solve(n_classes - 1, prediction, truth)
    taken = {segment_of[c] for c in range(n_classes - 1) if table[c, segment_of].max() > 0}
    joined = np.where(np.isin(prediction, list(taken)), prediction, prediction.max() + 1)
    table, segment_of = solve(n_classes, joined, np.where(truth == -1, n_classes - 1, truth))
    ordered = table[:, segment_of]
    return [np.diag(ordered), ordered.sum(0) - np.diag(ordered), table.sum(1) - np.diag(ordered)]


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=500)
def test_official_with_a_background_is_diffcuts_procedure(seed: int) -> None:
    """Cases with ties, absent classes, gaps in the numbering, and more or fewer segments than classes."""
    rng = np.random.default_rng(seed)
    background = rng.integers(CLASSES)
    prediction = rng.permutation(8)[rng.integers(0, rng.integers(1, 8), rng.integers(1, 30))]
    truth = rng.choice(rng.integers(0, CLASSES, 3), prediction.shape)
    others = np.delete(np.arange(CLASSES), background)
    theirs = np.full(CLASSES, -1)
    theirs[others] = np.arange(CLASSES - 1)
    counts = match(prediction, truth, CLASSES, "official", int(background))
    order = [*others, background]
    expected = diffcut(prediction, theirs[truth], CLASSES)
    np.testing.assert_array_equal([counts.tp[order], counts.fp[order], counts.fn[order]], expected)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=200)
def test_present_with_a_background_is_the_best_of_all_ways(seed: int) -> None:
    rng = np.random.default_rng(seed)
    background = int(rng.integers(CLASSES))
    table = rng.integers(0, 6, (CLASSES, rng.integers(1, 6)))
    table[background] *= rng.integers(0, 3)  # none of it, as much as of the others, or more
    counts = match_contingency(table, "present", background)
    if not table[background].any():
        assert counts == match_contingency(table, "present")
        return
    others = [label for label in range(CLASSES) if label != background]
    ways = (
        sum(table[label, segment] for segment, label in enumerate(way))
        for way in product(range(CLASSES), repeat=table.shape[1])
        if all(way.count(label) <= 1 for label in others)
    )
    assert counts.tp.sum() == max(ways)
    # Every labelled pixel is in the segment of some class.
    assert counts.fp.sum() == counts.fn.sum()


def test_many_segments_count_as_the_background() -> None:
    truth, prediction = np.array([3, 3, 3, 3, 1, 1, 1]), np.array([0, 1, 2, 4, 3, 3, 4])
    for protocol in PROTOCOLS:
        counts = match(prediction, truth, 4, protocol, background=3)
        assert counts.to_json() == {"tp": [0, 2, 0, 4], "fp": [0, 0, 0, 1], "fn": [0, 1, 0, 0], "labelled": 7}
        assert match(prediction, truth, 4, protocol).tp.tolist() == [0, 2, 0, 1]


def test_a_thing_takes_no_segment_that_is_mostly_background() -> None:
    truth, prediction = np.array([0] * 8 + [1] * 4), np.array([0] * 4 + [1] * 4 + [0] * 3 + [1])
    counts = match(prediction, truth, 3, "present", background=0)
    assert counts.to_json() == {"tp": [8, 0, 0], "fp": [4, 0, 0], "fn": [0, 4, 0], "labelled": 12}


def test_an_absent_background_is_not_charged_in_present() -> None:
    truth, prediction = np.array([1, 1, 1, 2]), np.array([0, 0, 1, 2])
    assert match(prediction, truth, 3, "present", background=0) == match(prediction, truth, 3, "present")


def test_a_background_that_is_no_class_is_named() -> None:
    for background in (-1, 3):
        with pytest.raises(ValueError, match=rf"^background: must be a class, 0..2, or None, got {background}$"):
            match(np.array([0]), np.array([0]), 3, background=background)


def test_contingency_is_padded_by_labels_in_void_pixels_too() -> None:
    assert contingency(np.array([0, 1]), np.array([0, 0]), 3).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert contingency(np.array([0, 7]), np.array([0, -1]), 3).shape == (3, 8)


@pytest.mark.parametrize("background", [None, 0])
def test_an_image_without_labels_counts_nothing(background: int | None) -> None:
    nothing, void = np.zeros((2, 2), int), np.full((2, 2), -1)
    for protocol in PROTOCOLS:
        assert match(nothing, void, protocol=protocol, background=background) == Counts.zeros(27)


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
    with pytest.raises(ValueError, match=r"^protocol: must be one of official, .* got 'both'$"):
        match(np.array([0]), np.array([0]), protocol="both")  # type: ignore[arg-type]


def test_counts_add_up_in_any_order() -> None:
    rng = np.random.default_rng(0)
    parts = [match(rng.integers(0, 5, (8, 8)), rng.integers(-1, 4, (8, 8)), 4) for _ in range(3)]
    total = sum(parts)
    assert total == parts[2] + parts[0] + parts[1]
    assert total.labelled == sum(part.labelled for part in parts)
    assert total != parts[0]


def let_my_own_return(pairs: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("matching", "protocols"):
        monkeypatch.setattr(f"eval.{module}.imported_protocol", lambda name: lambda table, background: pairs)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (([0, 1], [2, 2]), "returned a segment in two pairs"),
        (([0], [4]), r"returned the segment 4; the table has 0\.\.3"),
        (([-1], [0]), r"returned the class -1; the table has 0\.\.3"),
        (([0, 1], [0]), "must return classes and segments"),
        (([0.5], [0]), "whole numbers"),
        ("ab", "whole numbers"),
    ],
)
def test_a_match_of_an_outside_protocol_is_checked(
    pairs: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_my_own_return(pairs, monkeypatch)
    with pytest.raises(ValueError, match=rf"^protocol: my\.own .*{message}"):
        match_contingency(np.eye(CLASSES, dtype=np.int64), "my.own")


def test_an_outside_protocol_may_match_nothing_or_a_class_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.array([[5, 2], [1, 4]])
    for pairs, tp in ((([], []), 0), (([0, 0], [0, 1]), 7)):
        let_my_own_return(pairs, monkeypatch)
        assert match_contingency(table, "my.own").tp.sum() == tp
