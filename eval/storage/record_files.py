"""Reads and writes the files of records: ``records.jsonl`` and the files of shards. Imports no torch.

The first line of a file is its version. Then there are three kinds of line, each a JSON object::

    {"row": KEY, "name": ..., "settings": {...}, "classes": [...], "code": ...}     before the row's first picture
    {"pictures": KEY, "ids": [...]}                                                 the pictures of a command
    {"record": KEY, "picture": ID, "status": "ok", "tables": {...}, ...}            a picture of a row, when it is done

Of several records of a picture and row, the newest counts. Records stay in their files: a run needs a few bytes of
memory for each.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import from_json

from eval.records import Record, RecordError
from eval.row import RecordList, Row
from eval.settings import KEY_DIGITS
from eval.storage.files import make_folder, writing
from eval.storage.locks import Locked, locked

VERSION = 2
"""Version of the files. Increase it when their form changes."""
RECORDS = "records.jsonl"
SHARD = re.compile(r"records\.(\d+)-of-(\d+)\.jsonl")

logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """Place of a record: its file, and its line's offset and length in bytes; and what selects it.

    Attributes:
        truths: see `eval.records.Record.truths`; None: the picture failed.
    """

    file: FileIO
    offset: int
    length: int
    time: float
    truths: frozenset[str] | None


class Records:
    """The records of all files of a results folder, read from there when they are asked for.

    Attributes:
        rows: key -> row, without its records.
        pictures: key -> ids of the pictures of a command.
        newest: key of a row -> id of a picture -> its newest record.
    """

    def __init__(self, folder: Path) -> None:
        """Reads all files of a folder without locking or writing; an incomplete last line is left out.

        Raises:
            RecordError: a line is damaged, or a file is of another version.
            OSError: a file cannot be read.
        """
        self.rows: dict[str, Row] = {}
        self.pictures: dict[str, Sequence[str]] = {}
        self.newest: dict[str, dict[str, Place]] = {}
        self._files: dict[Path, FileIO] = {}
        self._truths: dict[frozenset[str], frozenset[str]] = {}  # equal ones once
        # File -> number of bytes of its complete lines, and keys of its rows and pictures.
        self._complete = {path: self._load(path) for path in record_files(folder)}

    def __del__(self) -> None:
        for file in self._files.values():
            file.close()

    def of(self, row: str, ids: Iterable[str]) -> RecordList:
        """The newest records of a row in the order of ``ids``, without pictures that have none."""
        known = self.newest.get(row, {})
        return RecordList(self, row, [id for id in ids if id in known])

    def get(self, row: str, id: str) -> Record | None:
        """The newest record of a picture and row."""
        place = self.newest.get(row, {}).get(id)
        if place is None:
            return None
        place.file.seek(place.offset)
        return Record.from_json(_parsed(place.file.read(place.length)))

    def _load(self, path: Path) -> tuple[int, set[str]]:
        size, declared = 0, set[str]()
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    data = _parsed(line)
                except ValueError as error:
                    if not file.read(1):  # the last line: a killed run can leave a torn line that a newline ends
                        break
                    raise _damaged(path, number, error) from None
                try:
                    declared.add(self._add(data, path, size, len(line)))
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    raise _damaged(path, number, error) from None
                size += len(line)
        return size, declared

    def _add(self, data: Mapping[str, Any], path: Path, offset: int, length: int) -> str:
        """Adds a line, and returns its key. Raises KeyError, TypeError or ValueError if it is no such line."""
        if not offset:
            _check_version(path, data)
            return ""
        if "record" in data:
            record = Record.from_json(data)
            if record.row not in self.rows:
                raise ValueError(f"no row {record.row} before this picture")
            if path not in self._files:
                self._files[path] = path.open("rb", buffering=0)  # a buffer would keep what is replaced later
            truths = record.truths
            kept = self._truths.setdefault(truths, truths) if record.ok else None
            place = Place(self._files[path], offset, length, record.time, kept)
            known = self.newest.setdefault(record.row, {})
            # Files of shards are read one after the other, so the order of the lines is not that of time.
            if record.picture not in known or known[record.picture].time <= record.time:
                known[sys.intern(record.picture)] = place
            return record.row
        if "row" in data:
            row = Row.from_json(data)
            self.rows.pop(row.key, None)  # the newest line moves to the end
            self.rows[row.key] = row
            return row.key
        self.pictures[data["pictures"]] = tuple(map(sys.intern, data["ids"]))
        return str(data["pictures"])


class OpenRecords(Records):
    """The records of a folder, with a locked file to append to; made by `open_records`."""

    def __init__(self, folder: Path, path: Path) -> None:
        super().__init__(folder)
        self.path, (self._size, self._declared) = path, self._complete.get(path, (0, set()))
        if path.is_file() and path.stat().st_size > self._size > 0:
            logger.warning("%s: removed an incomplete last line that an interrupted run left", path)
        # Unbuffered: a buffer would keep the rest of a failed write and write it later.
        self._file = path.open("ab", buffering=0)
        if not self._size:
            self._append({"version": VERSION})

    def declare(self, row: Row, ids: Sequence[str]) -> None:
        """Writes the lines of a row and of its pictures, unless this file has them. A row may have got other names."""
        line, pictures = row.to_json(), pictures_key(ids)
        if row.key not in self._declared or self.rows[row.key].to_json() != line:
            self._append(line)
        if pictures not in self._declared:
            self._append({"pictures": pictures, "ids": list(ids)})

    def append(self, record: Record) -> None:
        """Appends a record. The system has it when this returns.

        Raises:
            WriteError: the line could not be written (full disk). The next append removes an incomplete line.
        """
        self._append(record.to_json())

    def close(self) -> None:
        """Waits until the disk has everything, and closes the file."""
        with writing(self.path):
            os.fsync(self._file.fileno())
        self._file.close()

    def _append(self, data: Mapping[str, Any]) -> None:
        line = json.dumps(data, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with writing(self.path):
            self._file.truncate(self._size)
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._declared.add(self._add(data, self.path, self._size, len(line)))
        self._size += len(line)


@contextmanager
def open_records(folder: Path, shard: tuple[int, int] | None = None) -> Iterator[OpenRecords]:
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
    try:
        with locked(path):
            records = OpenRecords(folder, path)
            try:
                yield records
            finally:
                records.close()
    except Locked as owner:
        raise RecordError(
            f"{path}: another run ({owner}) is writing there; wait until it has ended, give this run another "
            "results_dir, or divide the pictures with shard=i/n"
        ) from None


def record_files(folder: Path) -> list[Path]:
    """The records files of a folder: ``records.jsonl`` first, then those of shards by number. Copies are left out."""
    shards = {path: match for path in folder.glob("records.*-of-*.jsonl") if (match := SHARD.fullmatch(path.name))}
    numbered = sorted(shards, key=lambda path: [int(number) for number in shards[path].groups()[::-1]])
    return [path for path in (folder / RECORDS, *numbered) if path.is_file()]


def pictures_key(ids: Sequence[str]) -> str:
    """Key of a list of pictures: the first hex digits of the sha256 of its ids."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:KEY_DIGITS]


def _parsed(line: bytes) -> Any:
    """The content of a line. Raises ValueError if it is no JSON."""
    try:
        return from_json(line)
    except ValueError:
        return json.loads(line)  # takes half of a surrogate pair, which a file name may hold


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
