"""Object-centric scores: mBO-i, mBO-c, Hungarian mIoU, FG-ARI and CorLoc, from contingency tables.

Two public codes define these scores, and differ in which pixels they ignore: OCLF, the object-centric learning
framework (amazon-science/object-centric-learning-framework, commit 0a97292), and SPOT (gkakogeorgiou/spot, commit
13c5926). `eval.instance_truth` makes the ground truth of both conventions; the scores below are the same in both.

A table ``(1 + objects, segments)`` counts the pixels of each object in each segment. Row 0 is the background, pixels in
no object. Ignored pixels are not in the table. An object without a pixel has vanished: it is left out of all means.
Pixels in no segment, which neither code knows, are counted in ``missed`` ``(1 + objects,)``, row by row: they belong to
the object and to no segment; FG-ARI takes them as one more segment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from eval.matching import IntArray
from eval.regions import adjusted_rand_index

FloatArray = NDArray[np.float64]

FOUND = 0.5
"""CorLoc: a picture counts if the IoU of an object and a segment is above this."""


class InstanceScores(NamedTuple):
    """Scores of one picture, as fractions; NaN: the picture has no object for this score, and its mean leaves it out.

    Attributes:
        mbo_i: mean best overlap, `best_overlaps`, over instances.
        mbo_c: the same over classes: all instances of a class are one object.
        instance_miou: mean of `hungarian_overlaps` over instances.
        fg_ari: `foreground_ari` of the instances. Never NaN: 1.0 without objects, as in both codes.
        corloc: 1.0 if the IoU of some instance and segment is above `FOUND`, else 0.0.
    """

    mbo_i: float
    mbo_c: float
    instance_miou: float
    fg_ari: float
    corloc: float


def instance_scores(
    instances: IntArray, classes: IntArray, missed: tuple[IntArray, IntArray] | None = None
) -> InstanceScores:
    """Computes the scores of one picture.

    Args:
        instances: table of the instances, ``(1 + instances, segments)`` int64, row 0 the background.
        classes: table of the classes, ``(1 + classes, segments)`` int64, row 0 the background.
        missed: pixels in no segment, of each row of the two tables; None: every pixel is in a segment.

    >>> table = np.array([[50, 0], [0, 8], [2, 0]])  # one object is found, the other lies in the background's segment
    >>> instance_scores(table, np.array([[50, 0], [2, 8]]))  # doctest: +ELLIPSIS
    InstanceScores(mbo_i=0.519..., mbo_c=0.8, instance_miou=0.519..., fg_ari=1.0, corloc=1.0)
    """
    of_instances, of_classes = missed or (None, None)
    best = best_overlaps(instances, of_instances)
    return InstanceScores(
        mbo_i=_mean(best),
        mbo_c=_mean(best_overlaps(classes, of_classes)),
        instance_miou=_mean(hungarian_overlaps(instances, of_instances)),
        fg_ari=foreground_ari(instances, of_instances),
        corloc=float(best.max() > FOUND) if best.size else float("nan"),
    )


def overlaps(table: IntArray, missed: IntArray | None = None) -> FloatArray:
    """IoU of each object with each segment, ``(objects left, segments)`` float64 in [0, 1].

    The union counts all pixels of the table, the background included.
    """
    pixels = table.sum(axis=1) + (0 if missed is None else missed)
    left = 1 + np.flatnonzero(pixels[1:])
    # An object that is left has a pixel, so no union is 0.
    return table[left] / (pixels[left, None] + table.sum(axis=0) - table[left])


def best_overlaps(table: IntArray, missed: IntArray | None = None) -> FloatArray:
    """Largest IoU of each object with a segment, ``(objects left,)``. Several objects may choose the same segment."""
    return overlaps(table, missed).max(axis=1, initial=0.0)


def hungarian_overlaps(table: IntArray, missed: IntArray | None = None) -> FloatArray:
    """IoU of each object with the segment matched to it, ``(objects left,)``; 0 for an object without a segment.

    The one-to-one match is the one with the largest sum of IoU.
    """
    iou = overlaps(table, missed)
    matched = np.zeros(len(iou))
    rows, columns = linear_sum_assignment(iou, maximize=True)
    matched[rows] = iou[rows, columns]
    return matched


def foreground_ari(table: IntArray, missed: IntArray | None = None) -> float:
    """FG-ARI: adjusted Rand index of objects and segments over the pixels inside objects, at most 1.

    Computed in Python integers, because products of pixel pairs exceed 64 bits from about 256 x 256 pixels on. Without
    objects it is 1.0, as in both codes. With a single object it is 1 if one segment covers the object whole, and
    exactly 0 if a single pixel is missing.

    Args:
        table: ``(1 + objects, segments)``, row 0 the background. A segment outside all objects plays no part.
        missed: pixels of each row in no segment; None: there are none.
    """
    inside = table[1:] if missed is None else np.column_stack((table, missed))[1:]
    return adjusted_rand_index(inside) if inside.any() else 1.0


def _mean(values: FloatArray) -> float:
    """Mean; NaN of nothing, without NumPy's warning."""
    return float(values.mean()) if values.size else float("nan")
