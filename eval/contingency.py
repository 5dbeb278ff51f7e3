"""The cells of many contingency tables in flat arrays: scores are computed for many pictures at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from eval.records import SparseTable

IntArray = NDArray[np.int64]

CELLS = 1 << 17
"""Tables that are taken together have up to this many cells, empty ones included: 1 MB."""


class Block:
    """The cells of several tables with the same number of columns or another.

    Attributes:
        tables: the tables, at least one.
        table, row, pixels: table of each cell, counted from 0, its row and its value, ``(cells,)`` int64.
        segment: segment of each cell. The segments of all tables are numbered from 0, one table after the other.
        number: label number of each segment, ``(segments,)`` int64; -1: pixels in no segment.
        table_of_segment: table of each segment, ``(segments,)`` int64.
    """

    def __init__(self, tables: Sequence[SparseTable]) -> None:
        self.tables = tables
        places = np.arange(len(tables))
        widths = [len(table.numbers) for table in tables]
        self.table = np.repeat(places, [len(table.rows) for table in tables])
        self.row = np.concatenate([table.rows for table in tables])
        self.pixels = np.concatenate([table.pixels for table in tables])
        self.number = np.concatenate([table.numbers for table in tables])
        self.table_of_segment = np.repeat(places, widths)
        starts = np.cumsum([0, *widths[:-1]])
        self.segment = np.concatenate([table.columns for table in tables]) + starts[self.table]

    def places(self) -> IntArray:
        """Place of each segment in its table, in the order of the numbers; -1 for pixels in no segment."""
        own = self.number >= 0
        before: IntArray = np.cumsum(own) - own
        first = np.full(len(self.tables), len(own))
        np.minimum.at(first, self.table_of_segment, before)
        return np.where(own, before - first[self.table_of_segment], -1)


def add_up(index: IntArray, pixels: IntArray, *shape: int) -> IntArray:
    """Adds up pixels by flat index into an array of a shape. Exact: the sums are below 2**53."""
    return np.bincount(index, pixels, int(np.prod(shape))).astype(np.int64).reshape(shape)


def blocks(tables: Sequence[SparseTable]) -> Iterator[Block]:
    """Yields all tables in order, up to `CELLS` cells at a time."""
    taken: list[SparseTable] = []
    cells = 0
    for table in tables:
        size = table.classes * max(table.classes, len(table.numbers))
        if taken and cells + size > CELLS:
            yield Block(taken)
            taken, cells = [], 0
        taken.append(table)
        cells += size
    if taken:
        yield Block(taken)
