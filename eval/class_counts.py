"""How many classes the pictures of a data set have, for the segmenter that is told their mean (K-Means-C)."""

from __future__ import annotations

from functools import cache
from statistics import fmean

from datasets.base import Dataset, DatasetError
from eval.squares import classes_in_square


@cache
def mean_classes(dataset: Dataset) -> int:
    """Mean number of classes in the centred square of a picture, rounded, over the whole list before ``limit``.

    Reads every label map once in the life of the program. A picture that cannot be read is left out: the run
    records why when its turn comes.

    Raises:
        DatasetError: none can be read.
    """
    counts = []
    for id in dataset.listed:
        try:
            counts.append(classes_in_square(dataset.load(id)))
        except DatasetError:
            continue
    if not counts:
        raise DatasetError(f"{dataset.name}: not one of the {len(dataset.listed)} pictures can be read")
    return max(1, round(fmean(counts)))
