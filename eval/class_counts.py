"""Counts the classes in the pictures of a data set. Their mean is the number of clusters of K-Means-C."""

from __future__ import annotations

from functools import cache
from statistics import fmean

from datasets.base import Dataset, DatasetError
from eval.config import FrameName
from eval.truth import classes_in


@cache
def mean_classes(dataset: Dataset, frame: FrameName = "square") -> int:
    """Mean number of classes in a frame of all pictures, rounded, at least 1; ignores ``limit``.

    Reads every label map once per process. Leaves out unreadable pictures: the run records their errors later.

    Raises:
        DatasetError: no picture can be read.
    """
    counts = []
    for id in dataset.listed:
        try:
            counts.append(classes_in(dataset.load(id), frame) or 0)
        except DatasetError:
            continue
    if not counts:
        raise DatasetError(f"{dataset.name}: none of the {len(dataset.listed)} pictures can be read")
    return max(1, round(fmean(counts)))
