"""The records of a row, with the contingency tables and counts from which its tables are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from eval.agreement import Agreement, agreement
from eval.matching import Counts
from eval.protocols import ProtocolName
from eval.rows import Row
from eval.scores import SparseTable, count_images
from eval.storage.records import Record


@dataclass(frozen=True, eq=False)
class RowResults:
    """A row with its records. Tables and counts are computed once.

    Attributes:
        row: in the tables.
        records: the newest record of each picture, in the order of the data set (intervals depend on the order).
    """

    row: Row
    records: Sequence[Record]
    _counts: dict[ProtocolName, list[Counts]] = field(default_factory=dict, repr=False)

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
        return self.row.settings.get("dataset", {}).get("background")

    def counts(self, protocol: ProtocolName) -> list[Counts]:
        """Counts of each evaluated picture."""
        if protocol not in self._counts:
            self._counts[protocol] = count_images(self.tables, protocol, self.background)
        return self._counts[protocol]
