"""Computes accuracy and intersection over union, as fractions, with bootstrap intervals over the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.matching import Counts

FloatArray = NDArray[np.float64]

RESAMPLES, SEED, LEVEL = 2000, 0, 0.95
"""Defaults of the bootstrap: see `bootstrap`."""
KEPT = 5_000_000
"""Up to this many numbers, 40 MB, the weights of all resamples are kept for the next row."""
BLOCK, PART = 2_000_000, 8192
"""Weights that are drawn at once, 16 MB; images whose counts are converted at once."""


class Interval(NamedTuple):
    """Lower and upper end of a confidence interval, as fractions; NaN if the metric is undefined."""

    low: float
    high: float


def accuracy(counts: Counts) -> float:
    """Pixel accuracy (ACC), in [0, 1]: the sum of TP divided by the labelled pixels; NaN without labelled pixels."""
    return float(_ratio(counts.tp.sum(), counts.labelled))


def iou(counts: Counts) -> FloatArray:
    """Intersection over union, TP / (TP + FP + FN), ``(n_classes,)`` float64 in [0, 1]; NaN where that is 0 / 0."""
    return _iou(counts.tp, counts.fp, counts.fn)


def mean_iou(counts: Counts) -> float:
    """Mean of `iou` over the classes for which it is defined, in [0, 1]; NaN if it is defined for no class."""
    return float(_mean(iou(counts)))


def bootstrap(
    tp: ArrayLike,
    fp: ArrayLike,
    fn: ArrayLike,
    labelled: ArrayLike,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> tuple[Interval, Interval]:
    """Percentile intervals of ACC and mIoU over images drawn with replacement.

    Calls with the same number of images, resamples and seed draw the same images, so that methods are compared on the
    same resamples. The order of the images matters. A resample with an undefined metric is left out.

    Args:
        tp, fp, fn: ``(images, n_classes)`` integers, one line per image, at least one.
        labelled: ``(images,)`` integers.
        resamples: number of resamples.
        seed: seed of the draw.
        level: share of the resamples inside the interval, in (0, 1).

    Returns:
        The intervals of ACC and of mIoU.
    """
    sums = resample([np.asarray(each) for each in (tp, fp, fn, labelled)], resamples, seed)
    return intervals(ResampledCounts(*sums), level)


def bootstrap_iou(
    tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, resamples: int = RESAMPLES, seed: int = SEED, level: float = LEVEL
) -> FloatArray:
    """Percentile interval of each class's `iou` over images drawn with replacement; arguments as in `bootstrap`.

    A resample in which the IoU of the class is undefined is left out for that class.

    Returns:
        ``(n_classes, 2)`` lower and upper ends, fractions; NaN where the IoU is undefined.
    """
    tp, fp, fn = resample([np.asarray(each) for each in (tp, fp, fn)], resamples, seed)
    return iou_intervals(ResampledCounts(tp, fp, fn, labelled=tp.sum(axis=1)), level)


def bootstrap_mean(values: ArrayLike, resamples: int = RESAMPLES, seed: int = SEED, level: float = LEVEL) -> Interval:
    """Percentile interval of the mean of a score over images drawn with replacement; arguments as in `bootstrap`.

    Args:
        values: the score of each image, ``(images,)``; NaN is left out. If all are NaN, so is the interval.
        resamples, seed, level: as in `bootstrap`.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not known.size:
        return Interval(np.nan, np.nan)
    return _interval(resample([known], resamples, seed)[0] / len(known), level)


def bootstrap_ratio(
    parts: ArrayLike, wholes: ArrayLike, resamples: int = RESAMPLES, seed: int = SEED, level: float = LEVEL
) -> Interval:
    """Percentile interval of a ratio of sums over images drawn with replacement; arguments as in `bootstrap`.

    Args:
        parts, wholes: numerator and denominator of each image, ``(images,)``.
        resamples, seed, level: as in `bootstrap`.
    """
    part, whole = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)
    return _interval(_ratio(*resample([part, whole], resamples, seed)), level)


def bootstrap_change(
    before: Sequence[Counts],
    after: Sequence[Counts],
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> tuple[Interval, Interval]:
    """Percentile intervals of the change in ACC and in mIoU from one method to another on the same images.

    Both methods are scored on each resample, so the difficulty of its images cancels out. If the interval contains 0,
    the change may be chance.

    Args:
        before, after: counts of the same images in the same order, at least one.
        resamples, seed, level: as in `bootstrap`.
    """
    old, new = (
        _resampled(
            [image.tp for image in counts],
            [image.fp for image in counts],
            [image.fn for image in counts],
            [image.labelled for image in counts],
            resamples,
            seed,
        )
        for counts in (before, after)
    )
    acc, miou = (_interval(later - earlier, level) for earlier, later in zip(old, new, strict=True))
    return acc, miou


def _resampled(
    tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, labelled: ArrayLike, resamples: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """ACC and mIoU of each resample, each ``(resamples,)``."""
    sums = resample([np.asarray(each) for each in (tp, fp, fn, labelled)], resamples, seed)
    return ResampledCounts(*sums).scores()


class ResampledCounts(NamedTuple):
    """Sums of the counts of each resample: ``tp``, ``fp``, ``fn`` ``(resamples, n_classes)``, and ``labelled``."""

    tp: FloatArray
    fp: FloatArray
    fn: FloatArray
    labelled: FloatArray

    @classmethod
    def of(cls, pixels: FloatArray) -> ResampledCounts:
        """From sums ``(resamples, 3, n_classes)`` of TP, FP and FN."""
        tp, fp, fn = pixels.transpose(1, 0, 2)
        return cls(tp, fp, fn, (tp + fn).sum(axis=1))

    def scores(self) -> tuple[FloatArray, FloatArray]:
        """ACC and mIoU of each resample, each ``(resamples,)``."""
        return _ratio(self.tp.sum(axis=1), self.labelled), _mean(_iou(self.tp, self.fp, self.fn))


def intervals(sums: ResampledCounts, level: float = LEVEL) -> tuple[Interval, Interval]:
    """The intervals of ACC and mIoU, see `bootstrap`."""
    acc, miou = sums.scores()
    return _interval(acc, level), _interval(miou, level)


def iou_intervals(sums: ResampledCounts, level: float = LEVEL) -> FloatArray:
    """The interval of each class's IoU, see `bootstrap_iou`."""
    resampled = _iou(sums.tp, sums.fp, sums.fn)
    return np.array([_interval(values, level) for values in resampled.T]).reshape(-1, 2)


def interval_of(values: FloatArray, level: float = LEVEL) -> Interval:
    """Percentile interval of the values of all resamples, without NaN."""
    return _interval(values, level)


def resample(columns: Sequence[NDArray[Any]], resamples: int = RESAMPLES, seed: int = SEED) -> list[FloatArray]:
    """Sums numbers over the images of each resample. The resamples are drawn in blocks, which limits the memory.

    Args:
        columns: arrays ``(images, ...)``.
        resamples, seed: see `bootstrap`.

    Returns:
        For each array its sums, ``(resamples, ...)`` float64; those of integers below 2**53 are exact.
    """
    flat = [np.reshape(each, (len(each), -1)) for each in columns]
    sums = [np.empty((resamples, each.shape[1])) for each in flat]
    for rows, weights in _blocks(len(flat[0]), resamples, seed):
        for total, numbers in zip(sums, flat, strict=True):
            if numbers.dtype.kind == "f":
                total[rows] = weights @ numbers
            else:  # converted in parts, because exact sums have no order
                parts = range(0, len(numbers), PART)
                total[rows] = sum(
                    weights[:, part : part + PART] @ _float(numbers[part : part + PART]) for part in parts
                )
    return [total.reshape(resamples, *each.shape[1:]) for total, each in zip(sums, columns, strict=True)]


def _blocks(images: int, resamples: int, seed: int) -> Iterator[tuple[slice, FloatArray]]:
    """Yields rows of `resample_weights`, and their places: all at once if they are few."""
    if images * resamples <= KEPT:
        yield slice(None), resample_weights(images, resamples, seed)
        return
    rng, step = np.random.default_rng(seed), max(1, BLOCK // images)
    for start in range(0, resamples, step):
        rows = slice(start, min(start + step, resamples))
        yield rows, _float(rng.multinomial(images, np.full(images, 1 / images), size=rows.stop - rows.start))


@lru_cache(maxsize=1)  # all rows of a table have the same images, and so the same resamples: 35 MB for 2,175 images
def resample_weights(images: int, resamples: int, seed: int) -> FloatArray:
    """Number of times each resample contains each image: ``(resamples, images)``, float64, read-only."""
    weights = _float(np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=resamples))
    weights.flags.writeable = False
    return weights


def _float(numbers: NDArray[Any]) -> FloatArray:
    return numbers.astype(np.float64)


def _iou(tp: NDArray, fp: NDArray, fn: NDArray) -> FloatArray:
    return _ratio(tp, tp + fp + fn)


def _mean(values: FloatArray) -> FloatArray:
    """Mean along the last axis without NaN; NaN if all are NaN."""
    defined = ~np.isnan(values)
    return _ratio(values.sum(axis=-1, where=defined), defined.sum(axis=-1))


def _ratio(part: ArrayLike, whole: ArrayLike) -> FloatArray:
    """``part / whole`` in float64; NaN if ``whole`` is 0."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _interval(values: FloatArray, level: float) -> Interval:
    values = values[~np.isnan(values)]
    if not values.size:
        return Interval(np.nan, np.nan)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
