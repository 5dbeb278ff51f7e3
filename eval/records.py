"""Typed records of a run: the result of each picture and row. All other files of a run are computed from them.

`eval.storage.record_files` reads and writes them. Imports no torch.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

IntArray = NDArray[np.int64]

MOST_CELLS = 1 << 20
"""Up to this many cells, 8 MB, a dense table has a column for each number; above, only for those that occur."""

PERSON = "person "
"""Start of the name of a person's table; the number follows, from 1."""
OF_RESULT = ("counts", "segments", "underflow", "device", "dtype", "seconds", "stamp", "code", "time", "unscored")
OF_FAILURE = ("reason", "stamp", "code", "time")
OPTIONAL = ("counts", "unscored")
"""Values that a line leaves out if they are empty."""


class RecordError(Exception):
    """Records cannot be used. The message names the file and line, the fault, and what to do."""


@dataclass(frozen=True, eq=False)
class SparseTable:
    """Pixels of each region of the truth in each segment of one picture, without empty cells.

    Attributes:
        classes: number of regions of the truth: its classes, or a person's regions, or objects.
        numbers: ``(k,)`` int64, the numbers of the segments, sorted and distinct; -1 stands for pixels in no segment.
            A segment that covers only void pixels is listed, too.
        rows, columns, pixels: ``(m,)`` int64, region, index into ``numbers``, and value of each cell that is not 0.
    """

    classes: int
    numbers: IntArray
    rows: IntArray
    columns: IntArray
    pixels: IntArray

    @classmethod
    def count(cls, segments: NDArray[np.integer], truth: NDArray[np.integer], classes: int) -> SparseTable:
        """Counts the pixels of two label maps of the same shape.

        Args:
            segments: number of each pixel's segment; a negative number means that it is in no segment.
            truth: region of each pixel; values outside ``0..classes-1`` are void and left out.
            classes: number of regions.
        """
        segments, truth = segments.reshape(-1).astype(np.int64, copy=False), truth.reshape(-1)
        if segments.min(initial=-1) < -1:
            segments = np.maximum(segments, -1)
        highest = int(segments.max(initial=-1))
        if (classes + 1) * (highest + 2) <= MOST_CELLS:
            numbers, columns = np.arange(-1, highest + 1), segments
        else:
            numbers, columns = np.unique(segments, return_inverse=True)
        # The cell of each pixel; the last row counts void pixels. In place: new arrays take longer than the sums.
        cells = np.full(truth.shape, classes, dtype=np.int64)
        np.copyto(cells, truth, where=(truth >= 0) & (truth < classes), casting="unsafe")
        cells *= len(numbers)
        cells += columns
        if columns is segments:  # they begin with -1
            cells += 1
        table = np.bincount(cells, minlength=(classes + 1) * len(numbers)).reshape(classes + 1, len(numbers))
        seen = table.any(axis=0)
        return cls.of(table[:-1, seen], numbers[seen])

    @classmethod
    def of(cls, table: NDArray[np.integer], numbers: ArrayLike | None = None) -> SparseTable:
        """Makes a table from a dense one ``(classes, k)``. ``numbers``: of the columns; None: 0..k-1."""
        rows, columns = np.nonzero(table)
        known = np.arange(table.shape[1]) if numbers is None else np.array(numbers, dtype=np.int64)
        return cls(table.shape[0], known, rows, columns, np.asarray(table, dtype=np.int64)[rows, columns])

    def dense(self) -> IntArray:
        """The table of the segments, ``(classes, k)`` int64, columns in the order of their numbers; without -1."""
        table = np.zeros((self.classes, len(self.numbers)), dtype=np.int64)
        table[self.rows, self.columns] = self.pixels
        return table[:, len(self.numbers) - self.segments :]

    def numbered(self) -> IntArray:
        """The table with a column for each number, ``(classes, max(classes, largest number + 1))``, as the authors'."""
        table = np.zeros((self.classes, max(self.classes, int(self.numbers.max(initial=-1)) + 1)), dtype=np.int64)
        table[:, self.numbers[self.numbers >= 0]] = self.dense()
        return table

    @property
    def missed(self) -> IntArray:
        """Pixels of each region that are in no segment, ``(classes,)`` int64."""
        missed = np.zeros(self.classes, dtype=np.int64)
        in_none = self.numbers[self.columns] < 0
        missed[self.rows[in_none]] = self.pixels[in_none]
        return missed

    @property
    def segments(self) -> int:
        """Number of segments, those that cover only void pixels included."""
        return int((self.numbers >= 0).sum())

    def to_json(self) -> dict[str, Any]:
        """Converts the table to lists of integers."""
        cells = [self.rows.tolist(), self.columns.tolist(), self.pixels.tolist()]
        return {"classes": self.classes, "numbers": self.numbers.tolist(), "cells": cells}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SparseTable:
        """The inverse of `to_json`."""
        cells = np.array(data["cells"], dtype=np.int64)
        return cls(data["classes"], np.array(data["numbers"], dtype=np.int64), *cells)


class PackedTables(Sequence[SparseTable]):
    """Contingency tables of many pictures, a few hundred bytes each."""

    def __init__(self) -> None:
        self._packed: list[array[int]] = []

    def append(self, table: Mapping[str, Any]) -> None:
        """Adds a table as records hold it, see `SparseTable.to_json`."""
        rows, columns, pixels = table["cells"]
        values = [table["classes"], len(rows), *table["numbers"], *rows, *columns, *pixels]
        try:
            self._packed.append(array("i", values))
        except OverflowError:
            self._packed.append(array("q", values))

    def __getitem__(self, place: int) -> SparseTable:  # type: ignore[override]  # nobody slices it
        packed = self._packed[place]
        classes, cells = packed[:2]
        values = np.array(packed, dtype=np.int64)
        rows, columns, pixels = len(values) - 3 * cells, len(values) - 2 * cells, len(values) - cells
        return SparseTable(classes, values[2:rows], values[rows:columns], values[columns:pixels], values[pixels:])

    def __len__(self) -> int:
        return len(self._packed)


@dataclass(frozen=True, eq=False)
class Record:
    """The result of a picture and row.

    Attributes:
        row, picture: key of the row and id of the picture.
        status: ``ok``, or ``failed`` with a ``reason`` and no numbers.
        stored_tables: name of the truth -> contingency table as JSON, see `tables`.
        counts: name -> integers; ``boundaries``: matched truth, truth, matched and predicted pixels.
        segments: number of segments.
        underflow: share of the aggregated attention that is 0 in float16; None without attention.
        device, dtype: device that evaluated the picture; precision of the backbone, "" without one.
        seconds: ``attention`` and ``segment``.
        stamp: text that changes when a file of the picture changes.
        code: sha256 (hex) of the project's own code.
        unscored: value of the label file that stands for no class -> pixels.
        time: seconds since 1970 when it was written; the newest of several records counts.
    """

    row: str
    picture: str
    status: Literal["ok", "failed"] = "ok"
    reason: str = ""
    stored_tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    counts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    segments: int = 0
    underflow: float | None = None
    device: str = ""
    dtype: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    stamp: str = ""
    code: str = ""
    unscored: Mapping[str, int] = field(default_factory=dict)
    time: float = 0.0

    @cached_property
    def tables(self) -> Mapping[str, SparseTable]:
        """Name of the truth -> contingency table: ``classes``; ``person 1``, ...; ``instances``, ...."""
        return {name: SparseTable.from_json(table) for name, table in self.stored_tables.items()}

    @property
    def ok(self) -> bool:
        """True if the picture was evaluated."""
        return self.status == "ok"

    @property
    def truths(self) -> frozenset[str]:
        """The kinds of truth that its segments were compared with, see `eval.protocols.truths_of`."""
        names = (*self.stored_tables, *self.counts)
        return frozenset("people" if name.startswith(PERSON) else name for name in names)

    def to_json(self) -> dict[str, Any]:
        """The line as a JSON object."""
        line = {"record": self.row, "picture": self.picture, "status": self.status}
        if not self.ok:
            return line | {name: getattr(self, name) for name in OF_FAILURE}
        values = {name: getattr(self, name) for name in OF_RESULT}
        given = {name: value for name, value in values.items() if value or name not in OPTIONAL}
        return {**line, "tables": self.stored_tables, **given}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """The inverse of `to_json`. Raises KeyError if a value is missing."""
        row, picture = data["record"], data["picture"]
        if data["status"] != "ok":
            return cls(row, picture, "failed", **{name: data[name] for name in OF_FAILURE})
        values = {name: data[name] for name in OF_RESULT if name not in OPTIONAL or name in data}
        return cls(row, picture, stored_tables=data["tables"], **values)


def merged_record(old: Record, tables: Mapping[str, SparseTable], counts: Mapping[str, Sequence[int]]) -> Record:
    """A record with further tables and counts, written now; those of the same name are replaced."""
    stored = {**old.stored_tables, **{name: table.to_json() for name, table in tables.items()}}
    return replace(old, stored_tables=stored, counts={**old.counts, **counts}, time=round(time.time(), 3))
