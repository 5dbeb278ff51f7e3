"""Protocols that match once for a whole data set, and a measure of what a score owes to the numbering of segments.

These protocols add the contingency tables of all images: segments with the same number count as one, so a number must
mean the same in every image. `eval.scores` applies the match to each image. A function outside this project may do the
same (`eval.protocols.imported_protocol`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eval.matching import Counts, IntArray, assign, counts_of_match, match_official, match_present
from eval.metrics import mean_iou


class Spread(NamedTuple):
    """Lowest, mean and highest of several scores, as fractions."""

    low: float
    mean: float
    high: float


def sum_of_tables(tables: Sequence[IntArray]) -> IntArray:
    """Sum of one or more tables ``(n_classes, K)``, as wide as the widest. Columns are the numbers of the segments."""
    total = np.zeros((len(tables[0]), max(table.shape[1] for table in tables)), dtype=np.int64)
    for table in tables:
        total[:, : table.shape[1]] += table
    return total


def match_dataset(tables: Sequence[IntArray], background: int | None = None) -> tuple[IntArray, IntArray]:
    """Protocol ``dataset``: the sum of all tables is matched as in `eval.matching.match_present`.

    Only classes that occur in some image take part.

    Args:
        tables: table of each image, ``(n_classes, K)`` int64, K may differ; at least one.
        background: the class that may match many segments; None: no such class.

    Returns:
        Classes ``(m,)`` and their segments ``(m,)``. A segment without a class adds only to FN.
    """
    return match_present(sum_of_tables(tables), background)


def match_dataset_all(tables: Sequence[IntArray], background: int | None = None) -> tuple[IntArray, IntArray]:
    """Protocol ``dataset_all``: as STEGO's and PiCIE's public codes, all classes of the data set take part.

    A class that occurs in no image may take a leftover segment. Its IoU is then 0, where `match_dataset` leaves the
    class out. The sum of TP, and so the accuracy, is that of `match_dataset`. For at most as many clusters as classes
    the scores equal STEGO's (commit eb4d6b5), and PiCIE's (commit c3aa029) if a single match is best. More clusters
    than classes: the leftover ones add only to FN; STEGO drops their pixels like void ones. With a background, which
    takes all leftover segments, nothing is left for classes that do not occur: the match is that of `match_dataset`.

    Arguments and result as in `match_dataset`.
    """
    if background is not None:
        return match_dataset(tables, background)
    total = sum_of_tables(tables)
    classes, segments = total.shape
    padded = np.zeros((max(classes, segments), classes), dtype=np.int64)
    padded[:segments] = total.T
    # As in STEGO, clusters are the rows: between equally good matches the solver decides by position.
    columns, rows = assign(padded)
    real = columns < segments
    return rows[real], columns[real]


def official_over_numberings(
    tables: Sequence[IntArray],
    background: int | None = None,
    n: int = 100,
    seed: int = 0,
    missed: Sequence[IntArray] | None = None,
) -> Spread:
    """Mean IoU under ``official`` when the segments of each image are numbered 0..k-1 at random.

    The published score reads the numbers: it hands leftover segments to classes absent from the image, and which
    segment goes to which class depends on the numbers. Accuracy does not.

    Args:
        tables: table of each image, ``(n_classes, k)`` int64, a column for each segment of the image, those with only
            void pixels included; at least one.
        background: the class that may match many segments; None: no such class.
        n: number of random numberings, at least 1.
        seed: seed of the numberings.
        missed: for each image, pixels of each class that are in no segment, ``(n_classes,)``; None: none are.

    >>> first, second = np.array([[4, 2, 1], [0, 0, 0], [0, 0, 0]]), np.array([[0], [5], [0]])
    >>> low, _, high = official_over_numberings([first, second])
    >>> round(low, 3), round(high, 3)  # class 1, absent from the first image, gets the segment of 2 pixels, or of 1
    (0.429, 0.468)
    """
    rng = np.random.default_rng(seed)
    zero = np.zeros(len(tables[0]), dtype=np.int64)
    images = list(zip(tables, missed or [zero] * len(tables), strict=True))
    scores = []
    for _ in range(n):
        counts = (_official(table[:, rng.permutation(table.shape[1])], left, background) for table, left in images)
        scores.append(mean_iou(sum(counts, Counts.zeros(len(zero)))))
    return Spread(float(np.min(scores)), float(np.mean(scores)), float(np.max(scores)))


def _official(table: IntArray, missed: IntArray, background: int | None) -> Counts:
    """Counts of an image under ``official``; the table gets empty columns, as in `eval.matching.contingency`."""
    padded = np.pad(table, ((0, 0), (0, max(0, len(table) - table.shape[1]))))
    return counts_of_match(padded, *match_official(padded, background), missed)
