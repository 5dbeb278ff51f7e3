"""Compares two rows of results on the same images, with intervals. A single image has no interval (NaN)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from eval.matching import Counts
from eval.metrics import accuracy, bootstrap_change, bootstrap_mean, mean_iou
from eval.protocols import ProtocolName
from eval.results.tables import PERCENT
from eval.runs import Row, ids_of

Estimate = tuple[float, float, float]
"""A value and the ends of its interval."""


def counts_by_picture(row: Row, protocol: ProtocolName) -> dict[str, Counts]:
    """Picture -> its counts, in the order of the row's records, without failed pictures."""
    return dict(zip(ids_of(row.evaluated), row.counts(protocol), strict=True))


def change(before: Mapping[str, Counts], after: Mapping[str, Counts]) -> dict[str, Estimate]:
    """Change of ACC and mIoU in points, with paired 95 % intervals, over the images in both.

    The scores are those of the tables, over the pixels of all images together (`eval.metrics.bootstrap_change`).

    Args:
        before, after: image -> its counts.

    Returns:
        ``acc`` and ``miou``; all NaN if they have no image in common. The interval is NaN if they have only one.
    """
    images = [image for image in before if image in after]
    if not images:
        return dict.fromkeys(("acc", "miou"), (np.nan, np.nan, np.nan))
    old, new = ([counts[image] for image in images] for counts in (before, after))
    old_total, new_total = (sum(counts, Counts.zeros(len(counts[0].tp))) for counts in (old, new))
    intervals = dict(zip(("acc", "miou"), bootstrap_change(old, new), strict=True))
    changes = {name: score(new_total) - score(old_total) for name, score in {"acc": accuracy, "miou": mean_iou}.items()}
    if len(images) == 1:
        return {name: (PERCENT * value, np.nan, np.nan) for name, value in changes.items()}
    return {
        name: (PERCENT * value, PERCENT * intervals[name].low, PERCENT * intervals[name].high)
        for name, value in changes.items()
    }


def mean_interval(values: pd.Series) -> Estimate:
    """Mean over the images and its 95 % bootstrap interval, without NaN. Resamples as in `eval.metrics.bootstrap`."""
    low, high = bootstrap_mean(values) if values.count() > 1 else (np.nan, np.nan)
    return float(values.mean()), low, high
