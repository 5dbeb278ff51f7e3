"""Paired bootstrap: two rows are scored on the same resamples of their common pictures.

Scores are computed from sums over the pictures and over each resample, see `eval.metrics.totals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.metrics import PERCENT, acc_and_miou, interval, ratio

FloatArray = NDArray[np.float64]


class Difference(NamedTuple):
    """A score of a row and of the reference, their difference, its interval, and whether it may be chance.

    Attributes:
        value, reference: the scores.
        difference: ``value - reference``.
        low, high: ends of the 95 % percentile interval of the difference; NaN with a single picture.
        p: two-sided p of the bootstrap, see `two_sided_p`; NaN with a single picture.
    """

    value: float
    reference: float
    difference: float
    low: float
    high: float
    p: float


def class_scores(pixels: FloatArray) -> dict[str, FloatArray]:
    """``acc`` and ``miou`` in percent, ``(n,)`` each, of n sums ``(n, 3, classes)`` of TP, FP and FN."""
    acc, miou = acc_and_miou(pixels)
    return {"acc": PERCENT * acc, "miou": PERCENT * miou}


def boundary_scores(counts: FloatArray) -> dict[str, FloatArray]:
    """Recall, precision and F of boundaries in percent, ``(n,)`` each.

    Args:
        counts: ``(n, 4)``, sums of matched truth, truth, matched and predicted pixels.
    """
    matched_truth, truth, matched, predicted = counts.T
    recall, precision = (np.nan_to_num(ratio(*pair)) for pair in ((matched_truth, truth), (matched, predicted)))
    f = np.nan_to_num(ratio(2 * recall * precision, recall + precision))  # 0 without boundaries, as in the tables
    scores = {"boundary_recall": recall, "boundary_precision": precision, "boundary_f": f}
    return {name: PERCENT * values for name, values in scores.items()}


def known_values(values: FloatArray) -> list[NDArray[Any]]:
    """The columns from whose sums `mean_scores` computes means: values ``(pictures, names)``, and which are not NaN."""
    return [np.nan_to_num(values), ~np.isnan(values)]


def mean_scores(names: Sequence[str], sums: FloatArray, known: FloatArray) -> dict[str, FloatArray]:
    """Means ``(n,)`` over pictures, from n sums ``(n, names)``; pictures without the score are left out."""
    return dict(zip(names, ratio(sums, known).T, strict=True))


def compare(values: FloatArray, reference: FloatArray) -> Difference:
    """Compares two rows by one score.

    Args:
        values, reference: the score of all pictures, and then of each resample, ``(1 + resamples,)``.
    """
    differences = values - reference
    scores = float(values[0]), float(reference[0]), float(differences[0])
    known = differences[1:][~np.isnan(differences[1:])]
    if not known.size:
        return Difference(*scores, np.nan, np.nan, np.nan)
    return Difference(*scores, *interval(known), two_sided_p(known))


def two_sided_p(differences: FloatArray) -> float:
    """p = min(1, 2 (1 + min(#d <= 0, #d >= 0)) / (1 + #d)) of the differences ``d`` on the resamples.

    >>> two_sided_p(np.array([1.0, 2.0, 3.0]))  # as small as three resamples allow
    0.5
    """
    fewest = min((differences <= 0).sum(), (differences >= 0).sum())
    return float(min(1.0, 2 * (1 + fewest) / (1 + len(differences))))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's correction of several p-values (1979); NaN stays NaN and does not count.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = sorted((value, place) for place, value in enumerate(p) if not np.isnan(value))
    corrected, largest = list(p), 0.0
    for number, (value, place) in enumerate(known):
        largest = max(largest, min(1.0, value * (len(known) - number)))
        corrected[place] = largest
    return corrected
