"""The records of a row, and the contingency tables and counts computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from eval.agreement import Agreement, agreement
from eval.matching import Counts
from eval.protocols import ProtocolName
from eval.scores import SparseTable, count_images
from eval.storage.records import Record


@dataclass(frozen=True, eq=False)
class RowResults:
    """A row of the tables with its records. Contingency tables and counts are computed once.

    Attributes:
        name: name in the tables; several rows may have the same name.
        key: its key in the records, see `eval.settings.row_key`.
        settings: group -> name -> value, see `eval.results.columns.SETTINGS`. A setting that is missing or None
            does not apply.
        records: the newest record of each picture, in the order of the data set (intervals depend on the order);
            empty before they are read.
        published: ``acc`` and ``miou`` of the paper in percent; None if the paper has no such row.
        note: a footnote for ``table.md``.
    """

    name: str
    key: str
    settings: Mapping[str, Any]
    records: Sequence[Record] = ()
    published: Mapping[str, float | None] | None = None
    note: str | None = None
    _counts: dict[ProtocolName, list[Counts]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def evaluated(self) -> list[Record]:
        """Records of the pictures that were evaluated."""
        return [record for record in self.records if record["status"] == "ok"]

    @cached_property
    def failed(self) -> list[Record]:
        """Records of the pictures that could not be evaluated."""
        return [record for record in self.records if record["status"] == "failed"]

    @cached_property
    def tables(self) -> list[SparseTable]:
        """Contingency table of each evaluated picture. Every score can be computed from it."""
        return [SparseTable.from_json(record["table"]) for record in self.evaluated]

    @cached_property
    def agreement(self) -> list[Agreement]:
        """Class-agnostic scores of each evaluated picture."""
        return [agreement(table.dense()) for table in self.tables]

    @property
    def background(self) -> int | None:
        """See `datasets.base.Dataset.background`."""
        return self.settings.get("dataset", {}).get("background")

    def counts(self, protocol: ProtocolName) -> list[Counts]:
        """Counts of each evaluated picture under a protocol."""
        if protocol not in self._counts:
            self._counts[protocol] = count_images(self.tables, protocol, self.background)
        return self._counts[protocol]
