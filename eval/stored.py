"""Records that stay in their files: a run needs a few bytes of memory for each. Imports no torch."""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

if TYPE_CHECKING:
    from eval.records import Record, SparseTable


class Files:
    """Opens files of records for reading, each once."""

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._open: dict[int, FileIO] = {}

    def number(self, path: Path) -> int:
        """Number of a file, for `read`."""
        if path not in self._paths:
            self._paths.append(path)
        return self._paths.index(path)

    def read(self, file: int, offset: int, length: int) -> dict[str, Any]:
        """The line that begins at an offset."""
        if file not in self._open:
            # Unbuffered: a buffer would keep what another process has replaced since.
            self._open[file] = self._paths[file].open("rb", buffering=0)
        self._open[file].seek(offset)
        line: dict[str, Any] = json.loads(self._open[file].read(length))
        return line

    def __del__(self) -> None:
        for file in self._open.values():
            file.close()


class RowRecords(Mapping[str, "Record"]):
    """The newest record of each picture of a row, read from its file when it is asked for."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._numbers: dict[str, int] = {}
        self._places = array("q")  # file, offset and length of each record
        self._times = array("d")
        self._kinds: dict[AbstractSet[str] | None, int] = {}  # the truths of a record; None: failed
        self._kind = array("i")

    def put(self, picture: str, ok: bool, truths: AbstractSet[str], time: float, place: tuple[int, int, int]) -> None:
        """Adds a record, unless that of its picture is newer. ``place``: number of the file, offset, length."""
        kind = self._kinds.setdefault(frozenset(truths) if ok else None, len(self._kinds))
        number = self._numbers.setdefault(sys.intern(picture), len(self._times))
        if number == len(self._times):
            self._places.extend(place)
            self._times.append(time)
            self._kind.append(kind)
        elif self._times[number] <= time:
            self._places[3 * number : 3 * number + 3] = array("q", place)
            self._times[number], self._kind[number] = time, kind

    def truths(self, picture: str) -> AbstractSet[str] | None:
        """The truths of a picture's record; None if it failed. Reads no file."""
        return list(self._kinds)[self._kind[self._numbers[picture]]]

    def __getitem__(self, picture: str) -> Record:
        from eval.records import Record

        number = self._numbers[picture]
        return Record.from_json(self._files.read(*self._places[3 * number : 3 * number + 3]))

    def __contains__(self, picture: object) -> bool:
        return picture in self._numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class RecordList(Sequence["Record"]):
    """Records of a row in an order.

    Attributes:
        pictures: their ids.
    """

    def __init__(self, records: RowRecords, pictures: Sequence[str]) -> None:
        self._records, self.pictures = records, pictures

    def evaluated(self, truths: AbstractSet[str]) -> RecordList:
        """The records of pictures that were evaluated with these truths. Reads no file."""
        return self._chosen(lambda kept: kept is not None and truths <= kept)

    def failed(self) -> RecordList:
        """The records of pictures that failed. Reads no file."""
        return self._chosen(lambda kept: kept is None)

    def _chosen(self, fits: Callable[[AbstractSet[str] | None], bool]) -> RecordList:
        return RecordList(self._records, [id for id in self.pictures if fits(self._records.truths(id))])

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> RecordList: ...
    def __getitem__(self, place: int | slice) -> Record | RecordList:
        if isinstance(place, slice):
            return RecordList(self._records, self.pictures[place])
        return self._records[self.pictures[place]]

    def __len__(self) -> int:
        return len(self.pictures)


class PackedTables(Sequence["SparseTable"]):
    """Contingency tables of many pictures in a few arrays of integers.

    Args:
        stored: the tables as records hold them, see `eval.records.SparseTable.to_json`.
    """

    def __init__(self, stored: Sequence[Mapping[str, Any]] | Iterator[Mapping[str, Any]]) -> None:
        self._classes, self._ends = array("q"), array("q", (0, 0))
        self._numbers, self._pixels, self._rows, self._columns = array("q"), array("q"), array("i"), array("i")
        for table in stored:
            self.append(table)

    def append(self, table: Mapping[str, Any]) -> None:
        """Adds a table."""
        rows, columns, pixels = table["cells"]
        self._classes.append(table["classes"])
        self._numbers.extend(table["numbers"])
        self._rows.extend(rows)
        self._columns.extend(columns)
        self._pixels.extend(pixels)
        self._ends.extend((len(self._numbers), len(self._rows)))

    @overload
    def __getitem__(self, place: int) -> SparseTable: ...
    @overload
    def __getitem__(self, place: slice) -> list[SparseTable]: ...
    def __getitem__(self, place: int | slice) -> SparseTable | list[SparseTable]:
        from eval.records import SparseTable

        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        numbers, cells = (slice(*self._ends[start : start + 3 : 2]) for start in (2 * number, 2 * number + 1))
        found = (np.array(each[cells], dtype=np.int64) for each in (self._rows, self._columns, self._pixels))
        return SparseTable(self._classes[number], np.array(self._numbers[numbers], dtype=np.int64), *found)

    def __len__(self) -> int:
        return len(self._classes)
