"""Typed records of a run, and the files that hold them: ``records.jsonl`` and the files of shards.

The first line of a file is its version. Then there are three kinds of line, each a JSON object::

    {"row": KEY, "name": ..., "settings": {...}, "classes": [...], "code": ...}     before the row's first picture
    {"pictures": KEY, "ids": [...]}                                                 the pictures of a command
    {"record": KEY, "picture": ID, "status": "ok", "tables": {...}, ...}            a picture of a row, when it is done

All other files of a run are computed from them. Of several records of a picture and row, the newest counts. Imports no
torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.settings import KEY_DIGITS, normalise
from eval.storage.files import make_folder, writing
from eval.storage.locks import Locked, locked
from eval.stored import Files, RecordList, RowRecords

IntArray = NDArray[np.int64]

VERSION = 2
"""Version of the files. Increase it when their form changes."""
PERSON = "person "
"""Start of the name of a person's table; the number follows, from 1."""
RECORDS = "records.jsonl"
SHARD = re.compile(r"records\.(\d+)-of-(\d+)\.jsonl")

logger = logging.getLogger(__name__)


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
        segments = np.maximum(segments.reshape(-1).astype(np.int64, copy=False), -1)
        truth = truth.reshape(-1)
        highest = int(segments.max(initial=-1))
        if highest < max(classes, 1 << 12):  # counting sort: faster than np.unique, and small enough
            seen = np.bincount(segments + 1, minlength=1)
            numbers = np.flatnonzero(seen) - 1
            place = np.cumsum(seen > 0) - 1
            columns = place[segments + 1]
        else:
            numbers, columns = np.unique(segments, return_inverse=True)
        labelled = (truth >= 0) & (truth < classes)
        cells = truth[labelled].astype(np.int64) * len(numbers) + columns.reshape(-1)[labelled]
        table = np.bincount(cells, minlength=classes * len(numbers)).reshape(classes, len(numbers))
        rows, columns = np.nonzero(table)
        return cls(classes, numbers.astype(np.int64), rows, columns, table[rows, columns])

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
        return table[:, int(self._has_unsegmented) :]

    def numbered(self) -> IntArray:
        """The table with a column for each number, ``(classes, max(classes, largest number + 1))``, as the authors'."""
        table = np.zeros((self.classes, max(self.classes, int(self.numbers.max(initial=-1)) + 1)), dtype=np.int64)
        table[:, self.numbers[int(self._has_unsegmented) :]] = self.dense()
        return table

    @property
    def missed(self) -> IntArray:
        """Pixels of each region that are in no segment, ``(classes,)`` int64."""
        missed = np.zeros(self.classes, dtype=np.int64)
        if self._has_unsegmented:
            alone = self.columns == 0
            missed[self.rows[alone]] = self.pixels[alone]
        return missed

    @property
    def segments(self) -> int:
        """Number of segments, those that cover only void pixels included."""
        return len(self.numbers) - int(self._has_unsegmented)

    @property
    def _has_unsegmented(self) -> bool:
        return bool(len(self.numbers) and self.numbers[0] < 0)

    def to_json(self) -> dict[str, Any]:
        """Converts the table to lists of integers."""
        cells = [self.rows.tolist(), self.columns.tolist(), self.pixels.tolist()]
        return {"classes": self.classes, "numbers": self.numbers.tolist(), "cells": cells}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SparseTable:
        """The inverse of `to_json`."""
        rows, columns, pixels = (np.array(each, dtype=np.int64) for each in data["cells"])
        return cls(data["classes"], np.array(data["numbers"], dtype=np.int64), rows, columns, pixels)


@dataclass(frozen=True)
class RowLine:
    """The line of a row.

    Attributes:
        key: hash of the settings that change a result.
        name: name in the tables, as the first command that evaluated the row gave it.
        settings: group -> name -> value, with the names that the tables show.
        classes: class names; empty if the data set has no classes.
        code: sha256 (hex) of the code of the row's parts outside the project; "" if it has none.
    """

    key: str
    name: str
    settings: Mapping[str, Any]
    classes: Sequence[str] = ()
    code: str = ""

    def to_json(self) -> dict[str, Any]:
        """The line as a JSON object."""
        settings = normalise(self.settings)
        return {
            "row": self.key,
            "name": self.name,
            "settings": settings,
            "classes": list(self.classes),
            "code": self.code,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RowLine:
        """The inverse of `to_json`."""
        return cls(data["row"], data["name"], data["settings"], data["classes"], data["code"])


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
        head = {"record": self.row, "picture": self.picture, "status": self.status}
        if not self.ok:
            return {**head, "reason": self.reason, "stamp": self.stamp, "code": self.code, "time": self.time}
        return {
            **head,
            "tables": dict(self.stored_tables),
            **({"counts": {name: list(values) for name, values in self.counts.items()}} if self.counts else {}),
            "segments": self.segments,
            "underflow": self.underflow,
            "device": self.device,
            "dtype": self.dtype,
            "seconds": dict(self.seconds),
            "stamp": self.stamp,
            "code": self.code,
            "time": self.time,
            **({"unscored": dict(self.unscored)} if self.unscored else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """The inverse of `to_json`."""
        if data["status"] != "ok":
            facts = {name: data[name] for name in ("stamp", "code", "time")}
            return cls(data["record"], data["picture"], "failed", data["reason"], **facts)
        return cls(
            data["record"],
            data["picture"],
            stored_tables=data["tables"],
            counts=data.get("counts", {}),
            segments=data["segments"],
            underflow=data["underflow"],
            device=data["device"],
            dtype=data["dtype"],
            seconds=data["seconds"],
            stamp=data["stamp"],
            code=data["code"],
            unscored=data.get("unscored", {}),
            time=data["time"],
        )


def merged_record(old: Record, tables: Mapping[str, SparseTable], counts: Mapping[str, Sequence[int]]) -> Record:
    """A record with further tables and counts, written now; those of the same name are replaced."""
    stored = {**old.stored_tables, **{name: table.to_json() for name, table in tables.items()}}
    return replace(old, stored_tables=stored, counts={**old.counts, **counts}, time=round(time.time(), 3))


def pictures_key(ids: Sequence[str]) -> str:
    """Key of a list of pictures: the first hex digits of the sha256 of its ids."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:KEY_DIGITS]


class Records:
    """The records of a results folder: those of all its files, which they are read from when they are asked for.

    Attributes:
        rows: key -> line of the row.
        pictures: key -> ids of the pictures of a command.
        newest: key of a row -> id of a picture -> its newest record.
        files: the files of the records.
    """

    def __init__(self) -> None:
        self.rows: dict[str, RowLine] = {}
        self.pictures: dict[str, Sequence[str]] = {}
        self.newest: dict[str, RowRecords] = {}
        self.files = Files()

    @classmethod
    def read(cls, folder: Path) -> Records:
        """Reads all files of a folder without locking or writing; an incomplete last line is left out.

        Raises:
            RecordError: a line is damaged, or a file is of another version.
            OSError: a file cannot be read.
        """
        records = cls()
        for path in record_files(folder):
            records.load(path)
        return records

    def of(self, key: str, ids: Iterable[str]) -> RecordList:
        """The newest records of a row in the order of ``ids``, without pictures that have none."""
        newest = self.newest.get(key) or RowRecords(self.files)
        return RecordList(newest, [id for id in ids if id in newest])

    def load(self, path: Path) -> tuple[int, set[str]]:
        """Reads a file. Returns the number of bytes of its complete lines, and the keys of its rows and pictures."""
        size, declared, own = 0, set[str](), self.files.number(path)
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    data = json.loads(line)
                except ValueError as error:
                    if not file.read(1):  # the last line: a killed run can leave a torn line that a newline ends
                        break
                    raise _damaged(path, number, error) from None
                if number == 1:
                    _check_version(path, data)
                else:
                    try:
                        self.add(data, (own, size, len(line)))
                        if "record" not in data:
                            declared.add(data["row"] if "row" in data else data["pictures"])
                    except (KeyError, TypeError, ValueError, AttributeError) as error:
                        raise _damaged(path, number, error) from None
                size += len(line)
        return size, declared

    def add(self, data: Mapping[str, Any], place: tuple[int, int, int]) -> None:
        """Adds a line.

        Args:
            data: the line.
            place: number of its file in `files`, offset and length in bytes.

        Raises:
            KeyError, TypeError, ValueError: it is no line of a records file.
        """
        if "record" in data:
            record = Record.from_json(data)
            if record.row not in self.rows:
                raise ValueError(f"no row {record.row} before this picture")
            # Files of shards are read one after the other, so the order of the lines is not that of time.
            known = self.newest.setdefault(record.row, RowRecords(self.files))
            known.put(record.picture, record.ok, record.truths, record.time, place)
        elif "row" in data:
            row = RowLine.from_json(data)
            self.rows.pop(row.key, None)  # the newest line moves to the end
            self.rows[row.key] = row
        else:
            self.pictures[data["pictures"]] = tuple(map(sys.intern, data["ids"]))


class RecordWriter:
    """Appends to one records file of a folder, which it locks; made by `open_records`."""

    def __init__(self, path: Path, records: Records, size: int, declared: set[str]) -> None:
        self.path, self.records = path, records
        self._size, self._declared = size, declared
        # Unbuffered: a buffer would keep the rest of a failed write and write it later.
        self._file = path.open("ab", buffering=0)
        if not size:
            self._file.truncate(0)
            self._write({"version": VERSION})

    def declare(self, row: RowLine, ids: Sequence[str]) -> None:
        """Writes the lines of a row and of its pictures, unless this file has them. A row may have got other names."""
        key, known = pictures_key(ids), self.records.rows.get(row.key)
        renamed = known is None or known.to_json() != row.to_json()
        for mark, line in ((row.key, row.to_json()), (key, {"pictures": key, "ids": list(ids)})):
            if mark not in self._declared or (mark == row.key and renamed):
                self._add(line)
                self._declared.add(mark)

    def append(self, record: Record) -> None:
        """Appends a record. The system has it when this returns.

        Raises:
            WriteError: the line could not be written (full disk). The next append removes an incomplete line.
        """
        self._add(record.to_json())

    def close(self) -> None:
        """Waits until the disk has everything, and closes the file."""
        with writing(self.path):
            os.fsync(self._file.fileno())
        self._file.close()

    def _add(self, data: Mapping[str, Any]) -> None:
        begin = self._size
        self._write(data)
        self.records.add(data, (self.records.files.number(self.path), begin, self._size - begin))

    def _write(self, data: Mapping[str, Any]) -> None:
        line = json.dumps(data, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with writing(self.path):
            self._file.truncate(self._size)
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._size += len(line)


@contextmanager
def open_records(folder: Path, shard: tuple[int, int] | None = None) -> Iterator[RecordWriter]:
    """Opens the records of a folder for appending, and reads those of all its files.

    Removes an incomplete last line that an interrupted run left in this process's file.

    Args:
        folder: created if missing.
        shard: number and count of this process's share, counted from 1: it appends to ``records.1-of-4.jsonl``.

    Raises:
        RecordError: another process writes to the same file, a line is damaged, or the folder is of another version.
    """
    make_folder(folder)
    path = folder / (RECORDS if shard is None else f"records.{shard[0]}-of-{shard[1]}.jsonl")
    with _exclusive(path):
        records, size, declared = Records(), 0, set[str]()
        for file in record_files(folder):
            read = records.load(file)
            size, declared = read if file == path else (size, declared)
        if path.is_file() and path.stat().st_size > size > 0:
            logger.warning("%s: removed an incomplete last line that an interrupted run left", path)
        writer = RecordWriter(path, records, size, declared)
        try:
            yield writer
        finally:
            writer.close()


def record_files(folder: Path) -> list[Path]:
    """The records files of a folder: ``records.jsonl`` first, then those of shards by number. Copies are left out."""
    shards = [path for path in folder.glob("records.*-of-*.jsonl") if SHARD.fullmatch(path.name)]
    shards.sort(key=lambda path: [int(part) for part in SHARD.fullmatch(path.name).groups()[::-1]])  # type: ignore[union-attr]
    return [path for path in (folder / RECORDS, *shards) if path.is_file()]


def _check_version(path: Path, data: Any) -> None:
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise RecordError(
            f"{path.parent}: holds results of another version of this project, which stay as they are; give another "
            "results_dir, or move the folder"
        )


def _damaged(path: Path, number: int, error: Exception) -> RecordError:
    reason = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else error
    return RecordError(
        f"{path}: line {number} is damaged ({reason}); remove that line (its picture is then evaluated again), or give "
        "another results_dir"
    )


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Context in which no other process can append to ``path``."""
    try:
        with locked(path):
            yield
    except Locked as owner:
        raise RecordError(
            f"{path}: another run ({owner}) is writing there; wait until it has ended, give this run another "
            "results_dir, or divide the pictures with shard=i/n"
        ) from None
