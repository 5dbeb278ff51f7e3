"""A row of the tables: its settings, its records, and the counts and facts that every table is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from eval.counts import ImageCounts
from eval.matching import count_images
from eval.protocols import ProtocolName, truths_of
from eval.records import PackedTables, Record, SparseTable
from eval.regions import agreement
from eval.settings import normalise

if TYPE_CHECKING:
    from eval.storage.record_files import Records

NONE_UNSCORED: Mapping[str, int] = {}


class Facts(NamedTuple):
    """Columns of evaluated pictures.

    Attributes:
        segments: ``(images,)`` int64, number of segments.
        seconds: ``(images,)`` float64, time for attention and segmentation.
        devices, dtypes: all that occur; "" left out.
        unscored: what records say of values that are not scored.
        tables: contingency tables with the classes; empty if records have none.
    """

    segments: NDArray[np.int64]
    seconds: NDArray[np.float64]
    devices: set[str]
    dtypes: set[str]
    unscored: list[Mapping[str, int]]
    tables: PackedTables


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the tables with its records.

    Its line in the files of records holds what no later command changes, except the name: see `to_json`.

    Attributes:
        key: hash of the settings that change a result.
        name: name in the tables; several rows may have the same name.
        settings: group -> name -> value, with the names that the tables show. A setting that is missing or None does
            not apply.
        classes: class names; empty if the data set has no classes.
        protocols: the protocols in the tables.
        records: the newest record of each picture, in the order of the data set (intervals depend on the order).
        pictures: number of pictures of the newest command that named the row.
        code: sha256 (hex) of the code of the row's parts outside the project; "" if it has none.
        note: a footnote for tables.
        published: ``acc`` and ``miou`` of the paper in percent; None if the paper has no such row.
        official_count: number of pictures in the published evaluation; None if the data set has none.
        dataset: configuration of its data set.
        sums: see `eval.results.tables.sums_of`; empty until they are asked for.
    """

    key: str
    name: str
    settings: Mapping[str, Any]
    classes: Sequence[str] = ()
    protocols: Sequence[ProtocolName] = ()
    records: Sequence[Record] = ()
    pictures: int = 0
    code: str = ""
    note: str | None = None
    published: Mapping[str, float | None] | None = None
    official_count: int | None = None
    dataset: Mapping[str, Any] = field(default_factory=dict)
    sums: dict[ProtocolName, NDArray[np.float64]] = field(default_factory=dict, init=False, repr=False)
    _counts: dict[ProtocolName, ImageCounts] = field(default_factory=dict, init=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The line of the row as a JSON object."""
        line = {"row": self.key, "name": self.name, "settings": self.settings, "classes": self.classes}
        return cast(dict[str, Any], normalise({**line, "code": self.code}))

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Self:
        """A row without records, from its line. Raises KeyError if a value is missing."""
        return cls(line["row"], line["name"], line["settings"], line["classes"], code=line["code"])

    @cached_property
    def evaluated(self) -> Sequence[Record]:
        """Records of the pictures that were evaluated. One without the truth of a protocol is not yet one."""
        needed = truths_of(self.protocols)
        return _where(self.records, lambda truths: truths is not None and needed <= truths)

    @cached_property
    def failed(self) -> Sequence[Record]:
        """Records of the pictures that could not be evaluated."""
        return _where(self.records, lambda truths: truths is None)

    @cached_property
    def facts(self) -> Facts:
        """Columns of the evaluated pictures, read in one pass over their records."""
        count = len(self.evaluated)
        facts = Facts(np.zeros(count, dtype=np.int64), np.zeros(count), set(), set(), [], PackedTables())
        for number, record in enumerate(self.evaluated):
            facts.segments[number] = record.segments
            facts.seconds[number] = record.seconds["attention"] + record.seconds["segment"]
            facts.devices.update({record.device} - {""})
            facts.dtypes.update({record.dtype} - {""})
            facts.unscored.append(record.unscored or NONE_UNSCORED)
            if "classes" in record.stored_tables:
                facts.tables.append(record.stored_tables["classes"])
        return facts

    def tables(self) -> Sequence[SparseTable]:
        """Contingency table of each evaluated picture with the classes."""
        return self.facts.tables

    @cached_property
    def agreement(self) -> NDArray[np.float64]:
        """Class-agnostic scores of each evaluated picture, ``(images, 3)``, see `eval.regions.agreement`."""
        return agreement(self.tables())

    @property
    def background(self) -> int | None:
        """See `datasets.base.Dataset.background`."""
        return self.settings.get("dataset", {}).get("background")

    @property
    def dataset_name(self) -> str:
        """Name of the data set."""
        return str(self.settings.get("dataset", {}).get("name", ""))

    @property
    def frame(self) -> str:
        """The pixels that are scored, see `eval.config.Scoring`."""
        return str(self.settings.get("scoring", {}).get("frame", ""))

    @property
    def reads_files(self) -> bool:
        """True if its segments come from files."""
        return bool(self.settings.get("segmenter", {}).get("reads_files"))

    def counts(self, protocol: ProtocolName) -> ImageCounts:
        """Counts of each evaluated picture under a protocol that matches classes."""
        if protocol not in self._counts:
            facts = self.background, self.reads_files, len(self.classes)
            self._counts[protocol] = count_images(self.tables(), protocol, *facts)
        return self._counts[protocol]


class RecordList(Sequence[Record]):
    """Records of a row in an order, each read from its file when it is asked for.

    Attributes:
        pictures: their ids.
    """

    def __init__(self, records: Records, row: str, pictures: Sequence[str]) -> None:
        self._records, self._row, self.pictures = records, row, pictures

    def where(self, fits: Callable[[frozenset[str] | None], bool]) -> RecordList:
        """The records whose truths (None: failed) fit. Reads no file."""
        places = self._records.newest.get(self._row, {})
        return RecordList(self._records, self._row, [id for id in self.pictures if fits(places[id].truths)])

    def __getitem__(self, position: int) -> Record:  # type: ignore[override]  # nobody slices it
        return cast(Record, self._records.get(self._row, self.pictures[position]))

    def __len__(self) -> int:
        return len(self.pictures)


def _where(records: Sequence[Record], fits: Callable[[frozenset[str] | None], bool]) -> Sequence[Record]:
    """The records whose truths (None: failed) fit."""
    if isinstance(records, RecordList):
        return records.where(fits)
    return [record for record in records if fits(record.truths if record.ok else None)]


def ids_of(records: Sequence[Record]) -> Sequence[str]:
    """Ids of the pictures of some records, in order."""
    return records.pictures if isinstance(records, RecordList) else [record.picture for record in records]
