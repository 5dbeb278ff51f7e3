"""Paired bootstrap: two rows are scored on the same resamples of their common pictures.

Every function takes ``weights`` ``(resamples, pictures)``: how often each resample contains each picture
(`eval.metrics.resample_weights`). The weights 1, 1, ..., 1 are the pictures themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.matching import Counts
from eval.metrics import LEVEL, RESAMPLES, SEED, resample_weights

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


def weights_of(pictures: int, resamples: int = RESAMPLES, seed: int = SEED) -> FloatArray:
    """``(1 + resamples, pictures)``: the pictures themselves, then the resamples. A single picture has no resamples.

    Rows with the same number of pictures get the same resamples.
    """
    if pictures == 1:
        return np.ones((1, 1))
    return np.vstack([np.ones(pictures), resample_weights(pictures, resamples, seed)])


def class_scores(counts: Sequence[Counts], weights: FloatArray) -> dict[str, FloatArray]:
    """``acc`` and ``miou`` of each resample as fractions, ``(resamples,)``, from the sums of its pictures' counts."""
    tp, fp, fn = (weights @ np.array([getattr(count, name) for count in counts], float) for name in ("tp", "fp", "fn"))
    labelled = weights @ np.array([count.labelled for count in counts], float)
    iou = ratio(tp, tp + fp + fn)
    defined = ~np.isnan(iou)
    miou = ratio(iou.sum(axis=1, where=defined), defined.sum(axis=1))
    return {"acc": ratio(tp.sum(axis=1), labelled), "miou": miou}


def boundary_scores(counts: FloatArray, weights: FloatArray) -> dict[str, FloatArray]:
    """Recall, precision and F of boundaries as fractions, ``(resamples,)``, from sums over the pictures.

    Args:
        counts: ``(pictures, 4)``: matched truth, truth, matched and predicted pixels.
        weights: see the top of this module.
    """
    matched_truth, truth, matched, predicted = (weights @ counts).T
    recall, precision = (np.nan_to_num(ratio(*pair)) for pair in ((matched_truth, truth), (matched, predicted)))
    f = np.nan_to_num(ratio(2 * recall * precision, recall + precision))  # 0 without boundaries, as in the tables
    return {"boundary_recall": recall, "boundary_precision": precision, "boundary_f": f}


def mean_score(values: Sequence[float], weights: FloatArray) -> FloatArray:
    """Mean over the pictures of each resample, ``(resamples,)``; pictures without the score (NaN) are left out."""
    scores = np.asarray(values, dtype=float)
    known = ~np.isnan(scores)
    return ratio(weights[:, known] @ scores[known], weights[:, known].sum(axis=1))


def compare(values: FloatArray, reference: FloatArray, level: float = LEVEL) -> Difference:
    """Compares two rows by one score.

    Args:
        values, reference: the score under `weights_of`, ``(1 + resamples,)``; first that of the pictures themselves.
        level: share of the resamples inside the interval.
    """
    differences = values - reference
    scores = float(values[0]), float(reference[0]), float(differences[0])
    known = differences[1:][~np.isnan(differences[1:])]
    if not known.size:
        return Difference(*scores, np.nan, np.nan, np.nan)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Difference(*scores, float(low), float(high), two_sided_p(known))


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


def ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """``part / whole``; NaN where ``whole`` is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
