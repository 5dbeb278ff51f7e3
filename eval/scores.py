"""Computes counts and confusion matrices of a data set from the contingency tables of its images.

The protocols ``official`` and ``present`` match segments with classes in each image. The protocol ``dataset`` matches
once for all images: segments with the same number count as one, so a number must mean the same in every image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.matching import Counts, IntArray, confusion_of_match, counts_of_match, match_present, matched_pairs
from eval.protocols import ProtocolName


@dataclass(frozen=True, eq=False)
class SparseTable:
    """Contingency table of one image (`eval.matching.contingency`) without empty cells, as stored in records.

    Attributes:
        shape: shape of the whole table, classes and segments ``(n_classes, K)``.
        classes, segments, pixels: ``(m,)`` int64, row, column and value of each cell that is not 0.
    """

    shape: tuple[int, int]
    classes: IntArray
    segments: IntArray
    pixels: IntArray

    @classmethod
    def of(cls, table: IntArray) -> SparseTable:
        """Drops the empty cells of a table ``(n_classes, K)``."""
        classes, segments = np.nonzero(table)
        return cls((table.shape[0], table.shape[1]), classes, segments, table[classes, segments])

    def dense(self) -> IntArray:
        """The whole table, ``(n_classes, K)`` int64."""
        table = np.zeros(self.shape, dtype=np.int64)
        table[self.classes, self.segments] = self.pixels
        return table

    def to_json(self) -> dict[str, list[int]]:
        """Converts the table to lists of integers."""
        cells = {name: getattr(self, name).tolist() for name in ("classes", "segments", "pixels")}
        return {"shape": list(self.shape), **cells}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SparseTable:
        """The inverse of `to_json`."""
        cells = (np.array(data[name], dtype=np.int64) for name in ("classes", "segments", "pixels"))
        classes, segments = data["shape"]
        return cls((classes, segments), *cells)


def matched_images(
    tables: Sequence[SparseTable], protocol: ProtocolName, background: int | None = None
) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Yields for each image its table, and the classes and segments of its matched pairs.

    Args:
        tables: tables of all images of the data set.
        protocol: ``official`` or ``present`` (`eval.matching.match_contingency`), or ``dataset``: the sum of all tables
            is matched as in ``present``, and all images use this match. A segment without a class adds only to FN.
        background: the class that may match many segments; None: no such class.
    """
    if protocol != "dataset" or not tables:
        for table in (each.dense() for each in tables):
            yield table, *matched_pairs(table, protocol, background)
        return
    rows, columns = match_present(sum_of_tables(tables), background)
    for table in (each.dense() for each in tables):
        there = columns < table.shape[1]
        yield table, rows[there], columns[there]


def count_images(tables: Sequence[SparseTable], protocol: ProtocolName, background: int | None = None) -> list[Counts]:
    """Counts of each image under one protocol; arguments as in `matched_images`.

    The score of a set of images, such as a resample, comes from the sum of their counts. With protocol ``dataset``, the
    match is that of all images, not only of the set.
    """
    return [counts_of_match(*image) for image in matched_images(tables, protocol, background)]


def confusion_matrix(tables: Sequence[SparseTable], protocol: ProtocolName, background: int | None = None) -> IntArray:
    """Pixels of all images by true class and matched class; arguments as in `matched_images`, at least one table.

    Returns:
        ``(n_classes, n_classes + 1)`` int64, see `eval.matching.confusion_of_match`.
    """
    classes = tables[0].shape[0]
    matrix = np.zeros((classes, classes + 1), dtype=np.int64)
    for image in matched_images(tables, protocol, background):
        matrix += confusion_of_match(*image)
    return matrix


def sum_of_tables(tables: Sequence[SparseTable]) -> IntArray:
    """Sum of one or more tables, ``(n_classes, K)`` int64 with the largest K of all tables."""
    total = np.zeros((tables[0].shape[0], max(table.shape[1] for table in tables)), dtype=np.int64)
    for table in tables:
        total[table.classes, table.segments] += table.pixels
    return total
