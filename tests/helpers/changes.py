"""The interval of a change, from resamples that are scored one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.counts import Counts
from eval.metrics import RESAMPLES, SEED, accuracy, mean_iou, resample_weights


def change_intervals(before: Sequence[Counts], after: Sequence[Counts]) -> list[list[float]]:
    """Ends of the 95 % intervals of the changes in ACC and in mIoU, in percent."""
    changes = []
    for weights in resample_weights(len(before), RESAMPLES, SEED):
        times = weights.astype(int)
        old, new = (_drawn(counts, times) for counts in (before, after))
        changes.append((accuracy(new) - accuracy(old), mean_iou(new) - mean_iou(old)))
    ends: list[list[float]] = (100 * np.nanquantile(changes, [0.025, 0.975], axis=0).T).tolist()
    return ends


def _drawn(counts: Sequence[Counts], times: Any) -> Counts:
    tp, fp, fn = np.einsum("i,ijk->jk", times, [(one.tp, one.fp, one.fn) for one in counts])
    return Counts(tp, fp, fn, int(tp.sum() + fn.sum()))
