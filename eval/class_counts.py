"""Counts the classes in the pictures of a data set. Their mean is the number of clusters of K-Means-C."""

from __future__ import annotations

from functools import cache
from statistics import fmean

from datasets.base import Dataset, DatasetError
from eval.squares import classes_in_square


@cache
def mean_classes(dataset: Dataset) -> int:
    """Mean number of classes in the centred squares of all pictures, rounded, at least 1; ignores ``limit``.

    Reads every label map once per process. Leaves out unreadable pictures: the run records their errors later.

    Raises:
        DatasetError: no picture can be read.
    """
    counts = []
    for id in dataset.listed:
        try:
            counts.append(classes_in_square(dataset.load(id)))
        except DatasetError:
            continue
    if not counts:
        raise DatasetError(f"{dataset.name}: none of the {len(dataset.listed)} pictures can be read")
    return max(1, round(fmean(counts)))
