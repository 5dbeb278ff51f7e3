"""Computes accuracy and intersection over union, as fractions, with bootstrap intervals over the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.counts import Counts
from eval.matching import count_images
from eval.records import SparseTable

FloatArray = NDArray[np.float64]
Interval = tuple[float, float]
"""Lower and upper end of a confidence interval; NaN if the metric is undefined."""

PERCENT = 100
"""Fractions become percent in tables, plots and trackers."""

RESAMPLES, SEED, LEVEL = 2000, 0, 0.95
"""Defaults of the bootstrap: number of resamples, seed of the draw, share of the resamples inside the interval."""
KEPT = 5_000_000
"""Up to this many numbers, 40 MB, the weights of all resamples are kept for the next row."""
BLOCK, PART = 2_000_000, 8192
"""Weights that are drawn at once, 16 MB; images whose counts are converted at once."""


def accuracy(counts: Counts) -> float:
    """Pixel accuracy (ACC), in [0, 1]: the sum of TP divided by the labelled pixels; NaN without labelled pixels."""
    return float(ratio(counts.tp.sum(), counts.labelled))


def iou(counts: Counts) -> FloatArray:
    """Intersection over union, TP / (TP + FP + FN), ``(n_classes,)`` float64 in [0, 1]; NaN where that is 0 / 0."""
    return iou_of(np.stack((counts.tp, counts.fp, counts.fn)))


def recall(counts: Counts) -> FloatArray:
    """Share of the pixels of each class that are right, ``(n_classes,)`` float64 in [0, 1]; NaN without pixels."""
    return ratio(counts.tp, counts.tp + counts.fn)


def mean_iou(counts: Counts) -> float:
    """Mean of `iou` over the classes for which it is defined, in [0, 1]; NaN if it is defined for no class."""
    return float(_mean(iou(counts)))


def iou_of(pixels: NDArray[Any]) -> FloatArray:
    """`iou` of many counts at once: ``(..., 3, n_classes)`` TP, FP and FN -> ``(..., n_classes)``."""
    return ratio(pixels[..., 0, :], pixels.sum(axis=-2))


def acc_and_miou(pixels: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """`accuracy` and `mean_iou` of many counts at once: ``(..., 3, n_classes)`` TP, FP and FN -> ``(...)`` each."""
    tp, _, fn = np.moveaxis(pixels.sum(axis=-1), -1, 0)
    return ratio(tp, tp + fn), _mean(iou_of(pixels))


def official_over_numberings(
    tables: Sequence[SparseTable], background: int | None = None, n: int = 100, seed: int = 0
) -> tuple[float, float, float]:
    """Lowest, mean and highest mIoU under ``official`` when the segments of each image are numbered 0..k-1 at random.

    The published score reads the numbers: it hands leftover segments to classes absent from the image, and which
    segment goes to which class depends on the numbers. Accuracy does not.

    Args:
        tables: table of each image; at least one.
        background: the class that may match many segments; None: no such class.
        n: number of random numberings, at least 1.
        seed: seed of the numberings.

    >>> tables = [np.array([[4, 2, 1], [0, 0, 0], [0, 0, 0]]), np.array([[0], [5], [0]])]
    >>> low, _, high = official_over_numberings([SparseTable.of(table) for table in tables])
    >>> round(low, 3), round(high, 3)  # class 1, absent from the first image, gets the segment of 2 pixels, or of 1
    (0.429, 0.468)
    """
    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(n):
        numbered = [_at_random(table, rng) for table in tables]
        scores.append(mean_iou(count_images(numbered, "official", background).total))
    return min(scores), float(np.mean(scores)), max(scores)


def _at_random(table: SparseTable, rng: np.random.Generator) -> SparseTable:
    """A table whose segments have the numbers 0..k-1 in random order."""
    numbers = table.numbers.copy()
    numbers[numbers >= 0] = np.argsort(rng.permutation(table.segments))
    return replace(table, numbers=numbers)


def bootstrap_mean(values: ArrayLike) -> Interval:
    """Percentile interval of the mean of a score over images drawn with replacement, see `resample`.

    Args:
        values: the score of each image, ``(images,)``; NaN is left out. If all are NaN, so is the interval.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    return interval(resample([known])[0] / len(known) if known.size else known)


def bootstrap_ratio(parts: ArrayLike, wholes: ArrayLike) -> Interval:
    """Percentile interval of a ratio of sums over images.

    Args:
        parts, wholes: numerator and denominator of each image, ``(images,)``.
    """
    part, whole = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)
    return interval(ratio(*resample([part, whole])))


def interval(values: FloatArray, level: float = LEVEL) -> Interval:
    """Percentile interval of the values of all resamples. Undefined ones (NaN) are left out."""
    values = values[~np.isnan(values)]
    if not values.size:
        return np.nan, np.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resample(columns: Sequence[NDArray[Any]], resamples: int = RESAMPLES, seed: int = SEED) -> list[FloatArray]:
    """Sums numbers over the images of each resample: images drawn with replacement, as many as there are.

    Calls with the same number of images, resamples and seed draw the same images, so that methods are compared on the
    same resamples. The order of the images matters. The resamples are drawn in blocks, which limits the memory.

    Args:
        columns: arrays ``(images, ...)``, at least one image.
        resamples: number of resamples.
        seed: seed of the draw.

    Returns:
        For each array its sums, ``(resamples, ...)`` float64; those of integers below 2**53 are exact.
    """
    flat = [np.reshape(column, (len(column), -1)) for column in columns]
    sums = [np.empty((resamples, column.shape[1])) for column in flat]
    for rows, weights in _blocks(len(flat[0]), resamples, seed):
        for total, numbers in zip(sums, flat, strict=True):
            if numbers.dtype.kind == "f":
                total[rows] = weights @ numbers
            else:  # converted in parts, because exact sums have no order
                parts = range(0, len(numbers), PART)
                total[rows] = sum(
                    weights[:, part : part + PART] @ numbers[part : part + PART].astype(float) for part in parts
                )
    return [total.reshape(resamples, *column.shape[1:]) for total, column in zip(sums, columns, strict=True)]


def totals(columns: Sequence[NDArray[Any]], resamples: int = RESAMPLES, seed: int = SEED) -> list[FloatArray]:
    """Sums of numbers over all pictures, and then over each resample. A single picture has no resamples.

    Rows with the same number of pictures get the same resamples.

    Args:
        columns: arrays ``(pictures, ...)``.
        resamples, seed: see `resample`.

    Returns:
        For each array its sums, ``(1 + resamples, ...)``.
    """
    whole = [column.sum(axis=0, dtype=np.float64)[None] for column in columns]
    if len(columns[0]) == 1:
        return whole
    return [np.concatenate(sums) for sums in zip(whole, resample(columns, resamples, seed), strict=True)]


def _blocks(images: int, resamples: int, seed: int) -> Iterator[tuple[slice, FloatArray]]:
    """Yields rows of `resample_weights`, and their places: all at once if they are few."""
    if images * resamples <= KEPT:
        yield slice(None), resample_weights(images, resamples, seed)
        return
    rng, step = np.random.default_rng(seed), max(1, BLOCK // images)
    for start in range(0, resamples, step):
        rows = slice(start, min(start + step, resamples))
        yield rows, _draw(rng, images, rows.stop - rows.start)


@lru_cache(maxsize=1)  # all rows of a table have the same images, and so the same resamples: 35 MB for 2,175 images
def resample_weights(images: int, resamples: int, seed: int) -> FloatArray:
    """Number of times each resample contains each image: ``(resamples, images)``, float64, read-only."""
    weights = _draw(np.random.default_rng(seed), images, resamples)
    weights.flags.writeable = False
    return weights


def _draw(rng: np.random.Generator, images: int, resamples: int) -> FloatArray:
    return rng.multinomial(images, np.full(images, 1 / images), size=resamples).astype(np.float64)


def ratio(part: ArrayLike, whole: ArrayLike) -> FloatArray:
    """``part / whole`` in float64; NaN if ``whole`` is 0."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _mean(values: FloatArray) -> FloatArray:
    """Mean along the last axis without NaN; NaN if all are NaN."""
    defined = ~np.isnan(values)
    return ratio(values.sum(axis=-1, where=defined), defined.sum(axis=-1))
