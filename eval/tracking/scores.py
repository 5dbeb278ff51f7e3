"""Scores to log while a row is evaluated: those of a picture, and those of all pictures so far."""

from __future__ import annotations

from typing import Any

from eval.matching import Counts, count_images
from eval.metrics import accuracy, mean_iou
from eval.protocols import ProtocolName, within_image
from eval.records import Record
from eval.runs import Row

PERCENT = 100
CLASSES = "classes"
"""Name of the contingency table of a record whose truth are classes."""

ByProtocol = dict[ProtocolName, Counts]


class RunningScores:
    """Adds up the records of a row. The newest record of a picture counts.

    Args:
        row: the row. Of its protocols, those count that match within a picture: the others have no score before the
            end of the run.
    """

    def __init__(self, row: Row) -> None:
        self._row = row
        self._protocols = [name for name in row.protocols if within_image(name)]
        self._total: ByProtocol = {name: Counts.zeros(len(row.classes)) for name in self._protocols}
        self._pictures: dict[str, ByProtocol | None] = {}  # None: it failed

    def add(self, record: Record) -> dict[str, Any]:
        """Adds the record of a picture.

        Returns:
            ``image/id``, ``image/segments``, ``image/seconds``, ``image/PROTOCOL/acc`` and ``.../miou`` of this
            picture; ``running/PROTOCOL/...`` of all pictures so far; the numbers of ``images`` evaluated and
            ``failed``. Scores in percent.
        """
        values: dict[str, Any] = {"image/id": record.picture}
        counts = self._count(record) if record.ok else None
        if counts is not None:
            values |= {"image/segments": record.segments, "image/seconds": sum(record.seconds.values())}
            values |= _scores("image", counts)
        replaced = self._pictures.get(record.picture)
        self._pictures[record.picture] = counts
        evaluated = [each for each in self._pictures.values() if each is not None]
        if replaced:  # its counts are in the total
            self._total = {name: Counts.zeros(len(self._row.classes)) for name in self._protocols}
        for added in evaluated if replaced else [counts or {}]:
            self._total |= {name: self._total[name] + added[name] for name in added}
        failed = len(self._pictures) - len(evaluated)
        return values | _scores("running", self._total) | {"images": len(evaluated), "failed": failed}

    def _count(self, record: Record) -> ByProtocol:
        if CLASSES not in record.stored_tables:
            return {}
        table, row = record.tables[CLASSES], self._row
        return {name: count_images([table], name, row.background, row.reads_files)[0] for name in self._protocols}


def _scores(prefix: str, counts: ByProtocol) -> dict[str, float]:
    return {
        f"{prefix}/{protocol}/{metric}": PERCENT * score(pixels)
        for protocol, pixels in counts.items()
        for metric, score in (("acc", accuracy), ("miou", mean_iou))
    }
