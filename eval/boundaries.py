"""Boundaries of a segmentation compared with those that people drew (Arbelaez et al., TPAMI 2011, Section 3.1.1).

Follows the authors' benchmark of BSDS500, except that the matching is the cheapest one. Theirs connects each pixel at
random with a few dummy pixels, so their counts lie at this optimum or just below: a picture's F differs by less than
0.002, that of all 200 test pictures by less than 0.001.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

TOLERANCE = 0.0075
"""Largest distance of two matched pixels, as a fraction of the picture's diagonal (Arbelaez et al. use 0.0075)."""

OUTLIER_COST = 100
"""Cost of a pixel without a partner, in units of the largest distance, as in the authors' code."""

STEPS = 100
"""Points of the linear interpolation between two neighbouring segmentations, ends included, as in the authors' code."""

RECALLS = np.arange(101) / 100
"""Recalls at which `average_precision` reads the precision."""


class BoundaryCounts(NamedTuple):
    """Counts of boundary pixels of one segmentation, or sums of such counts.

    Attributes:
        matched_truth: pixels of the truth that have a partner, summed over the people.
        truth: pixels of the truth, summed over the people.
        matched: pixels of the segmentation that have a partner in the boundaries of at least one person.
        predicted: pixels of the segmentation.
    """

    matched_truth: int
    truth: int
    matched: int
    predicted: int

    @property
    def recall(self) -> float:
        """Share of the truth that has a partner, in [0, 1]; 0 without truth."""
        return self.matched_truth / max(self.truth, 1)

    @property
    def precision(self) -> float:
        """Share of the segmentation's boundary that has a partner, in [0, 1]; 0 without a boundary."""
        return self.matched / max(self.predicted, 1)

    @property
    def f(self) -> float:
        """Harmonic mean of recall and precision, in [0, 1]; 0 if both are 0."""
        return float(f_measure(self.recall, self.precision))


class BestPoint(NamedTuple):
    """The point of a precision-recall curve with the largest F.

    Attributes:
        at: value of the parameter, between two values of the family if the best point is interpolated.
        recall, precision, f: fractions.
    """

    at: float
    recall: float
    precision: float
    f: float


def compare_boundaries(
    labels: NDArray[np.integer], people: Sequence[BoolArray], tolerance: float = TOLERANCE
) -> BoundaryCounts:
    """Matches the boundaries of a segmentation with those of each person.

    Args:
        labels: segment of each pixel, ``(h, w)`` integers.
        people: boundaries that each person drew, ``(h, w)`` bool.
        tolerance: largest distance of two matched pixels, as a fraction of the diagonal.

    Raises:
        ValueError: the boundaries of a person differ from ``labels`` in size.

    >>> halves = np.repeat([[0, 0, 0, 1, 1, 1]], 6, axis=0)
    >>> compare_boundaries(halves, [boundary_map(halves)])
    BoundaryCounts(matched_truth=6, truth=6, matched=6, predicted=6)
    """
    predicted = boundary_map(labels)
    reach = tolerance * float(np.hypot(*labels.shape))
    matched = np.zeros_like(predicted)
    matched_truth = 0
    for boundaries in people:
        ours, theirs = match_pixels(predicted, boundaries, reach)
        matched |= ours
        matched_truth += int(theirs.sum())
    truth = sum(int(boundaries.sum()) for boundaries in people)
    return BoundaryCounts(matched_truth, truth, int(matched.sum()), int(predicted.sum()))


def boundary_map(labels: NDArray[np.integer]) -> BoolArray:
    """Boundary of a segmentation, one pixel wide: ``(h, w)`` bool.

    A pixel is on it if it differs from its right, its lower or its lower right neighbour. The map is then thinned.
    BSDS500's own boundaries come from its segmentations in this way.

    Args:
        labels: segment of each pixel, ``(h, w)`` integers.
    """
    from skimage.morphology import thin  # takes half a second to import

    differs = np.zeros(labels.shape, bool)
    differs[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    differs[:-1] |= labels[:-1] != labels[1:]
    differs[:-1, :-1] |= labels[:-1, :-1] != labels[1:, 1:]
    return thin(differs)


def match_pixels(first: BoolArray, second: BoolArray, reach: float) -> tuple[BoolArray, BoolArray]:
    """Matches the pixels of two boundary maps one to one, at the smallest sum of costs.

    A pair costs its distance, a pixel without a partner `OUTLIER_COST` times ``reach``.

    Args:
        first, second: ``(h, w)`` bool.
        reach: largest distance of a pair in pixels, at least 0.

    Returns:
        The pixels of each map that have a partner, ``(h, w)`` bool.

    Raises:
        ValueError: the maps differ in size.
    """
    if first.shape != second.shape:
        raise ValueError(f"second: must have the shape of first, {first.shape}, got {second.shape}")
    matched = np.zeros_like(first), np.zeros_like(second)
    ends, distances = _pairs(first, second, reach)
    if not len(distances):
        return matched
    # Pixels without any partner in reach are left out; the rest is numbered anew.
    pixels, numbers = zip(*(np.unique(end, return_inverse=True) for end in ends), strict=True)
    few, many = sorted((0, 1), key=lambda side: len(pixels[side]))
    rows, columns = len(pixels[few]), len(pixels[many])
    # Every row gets a column of its own, which stands for "no partner". So a full matching exists, and as all of them
    # have the same number of edges, 1 may be added to each weight: SciPy takes an edge of weight 0 for no edge.
    weights = 1 + np.concatenate((distances, np.full(rows, OUTLIER_COST * reach)))
    row_ends = np.concatenate((numbers[few], np.arange(rows)))
    column_ends = np.concatenate((numbers[many], columns + np.arange(rows)))
    graph = csr_array((weights, (row_ends, column_ends)), shape=(rows, columns + rows))
    row, column = min_weight_full_bipartite_matching(graph)
    paired = column < columns
    matched[few].flat[pixels[few][row[paired]]] = True
    matched[many].flat[pixels[many][column[paired]]] = True
    return matched


def _pairs(first: BoolArray, second: BoolArray, reach: float) -> tuple[tuple[NDArray, NDArray], FloatArray]:
    """All pairs of pixels up to ``reach`` apart: their flat positions in both maps, and their distances."""
    radius = int(np.ceil(reach))
    down, right = (offsets.ravel() for offsets in np.mgrid[-radius : radius + 1, -radius : radius + 1])
    distance = np.hypot(down, right)
    inside = distance <= reach
    down, right, distance = down[inside], right[inside], distance[inside]

    height, width = first.shape
    position = np.full((height + 2 * radius, width + 2 * radius), -1)
    position[radius : radius + height, radius : radius + width][second] = np.flatnonzero(second)
    y, x = np.nonzero(first)
    partners = position[y[:, None] + (down + radius), x[:, None] + (right + radius)]
    pixel, offset = np.nonzero(partners >= 0)
    return (np.flatnonzero(first)[pixel], partners[pixel, offset]), distance[offset]


def f_measure(recall: FloatArray | float, precision: FloatArray | float) -> FloatArray:
    """Harmonic mean of recall and precision, elementwise; 0 where both are 0."""
    total = np.asarray(recall) + precision
    return 2 * np.multiply(recall, precision) / np.where(total == 0, 1, total)


def add_counts(counts: Sequence[BoundaryCounts]) -> BoundaryCounts:
    """Sum of counts, such as those of all pictures."""
    return BoundaryCounts(*(sum(column) for column in zip(*counts, strict=True)))


def best_point(parameters: Sequence[float], counts: Sequence[BoundaryCounts]) -> BestPoint:
    """The largest F of a family of segmentations. Of equal ones the first.

    Between neighbours, parameter, recall and precision are interpolated linearly (in `STEPS` points).

    Args:
        parameters: parameter of each segmentation, in ascending or descending order, at least one.
        counts: counts of each segmentation.

    >>> best_point([0.1, 0.2], [BoundaryCounts(9, 10, 3, 10), BoundaryCounts(3, 10, 9, 10)]).f
    0.5999...
    """
    curve = np.array([(at, count.recall, count.precision) for at, count in zip(parameters, counts, strict=True)])
    share = np.linspace(0, 1, STEPS)[None, :, None]
    between = (curve[1:, None] * share + curve[:-1, None] * (1 - share)).reshape(-1, 3)
    points = np.concatenate((curve[:1], between))
    f = f_measure(points[:, 1], points[:, 2])
    best = int(f.argmax())
    at, recall, precision = map(float, points[best])
    return BestPoint(at, recall, precision, float(f[best]))


def first_best(counts: Sequence[BoundaryCounts]) -> BoundaryCounts:
    """The counts with the largest F, without interpolation. Of equal ones the first."""
    return max(counts, key=lambda count: count.f)


def average_precision(counts: Sequence[BoundaryCounts]) -> float:
    """Mean precision over the recalls 0, 0.01, ..., 1 of a family of segmentations, in [0, 1.01].

    Precision is interpolated linearly between the recalls of the family, and 0 outside their range. 101 values are
    summed and multiplied by 0.01, as in the authors' code. 0 if all recalls are equal. Of segmentations with the same
    recall the first counts.

    Args:
        counts: counts of each segmentation, in any order.
    """
    recalls, first = np.unique([count.recall for count in counts], return_index=True)
    if len(recalls) < 2:
        return 0.0
    precisions = [counts[index].precision for index in first]
    return float(np.interp(RECALLS, recalls, precisions, left=0, right=0).sum() * 0.01)
