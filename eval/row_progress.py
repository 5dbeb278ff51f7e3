"""The progress of a row: the pictures that remain, and the records of those that are done."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from diffseg.files.remarks import Remark, remark_lines
from diffseg.segmenters.base import Outline
from diffseg.texts import on_one_line
from eval.code import project_code
from eval.counts import Counts
from eval.decoding import DecodedPicture
from eval.label_maps import write_label_map
from eval.matching import count_images
from eval.metrics import accuracy, mean_iou
from eval.protocols import PROTOCOLS
from eval.records import PackedTables, Record, merged_record
from eval.rows import RowConfig
from eval.runs import Run
from eval.storage.files import writing
from eval.truth import compare, compare_kept, segment_count

logger = logging.getLogger(__name__)

FAILURES_SHOWN = 10
"""Number of failures of a row that are printed while it runs."""

Remarks = tuple[Sequence[Remark], Sequence[Remark] | None]
"""Remarks about a picture, and about the label map that the segmenter reads (None: it reads none)."""


class RowProgress:
    """The progress of a row in an open run.

    Args:
        row: the row, prepared.
        run: open; each result is appended at once.
        kept: ids of the pictures whose label maps are kept.
        again: True also segments pictures with a result whose label map is missing.
        on_record: called with each new record.
        send: in a worker: sends the arguments of `take` to the process that writes the records. None: this one does.

    Attributes:
        failed: id of each picture that failed in this run -> class of its error, and the id with the reason. The next
            run tries these pictures again.
    """

    def __init__(
        self,
        row: RowConfig,
        run: Run,
        kept: frozenset[str] = frozenset(),
        again: bool = False,
        on_record: Callable[[Record], None] = lambda record: None,
        send: Callable[[Record, str, Remarks | None], None] | None = None,
    ) -> None:
        self.row, self.run, self.kept, self.again, self.on_record, self.send = row, run, kept, again, on_record, send
        self.failed: dict[str, tuple[str, str]] = {}
        self._remarks: dict[str, Remarks] = {}
        self._done: set[str] = set()
        self._from_map: set[str] = set()  # a new protocol needs the label map of an old result
        self._protocol = next((name for name in row.protocols if name in PROTOCOLS), None)
        self._total, self._uncounted = Counts.zeros(len(row.dataset.classes)), PackedTables()
        for id in row.dataset.ids:
            record = run.records.get(row.key, id)
            if record is None or not record.ok or record.stamp != row.stamp(id):
                continue
            if row.truths <= record.truths:
                self._count(record)
            elif run.label_path(row.key, id).is_file():
                self._from_map.add(id)

    def wants(self, id: str) -> bool:
        """True if a picture must be segmented; False after it has failed."""
        if id in self.failed or id in self._from_map:
            return False
        lacks_map = self.again and id in self.kept and not self.run.label_path(self.row.key, id).is_file()
        return id not in self._done or lacks_map

    def compares(self, id: str) -> bool:
        """True if the kept label map of a picture must be compared with another truth."""
        return id in self._from_map and id not in self.failed

    @property
    def is_hopeless(self) -> bool:
        """True if no picture has a result, and the first `FAILURES_SHOWN` all failed with errors of one class."""
        if self._done or len(self.failed) < FAILURES_SHOWN:
            return False
        return len({kind for kind, _ in self.failed.values()}) == 1

    def remark_lines(self) -> list[str]:
        """Lines about the files of the pictures that this process and its workers have segmented."""
        pictures = {id: of_picture for id, (of_picture, _) in self._remarks.items()}
        maps = {id: of_map for id, (_, of_map) in self._remarks.items() if of_map is not None}
        return [*remark_lines(self.row.dataset.name, pictures), *remark_lines(self.row.name, maps)]

    def fail(self, id: str, error: Exception) -> None:
        """Records the failure of a picture and its reason, unless the picture has a result."""
        if id not in self._done:
            facts: Any = {"stamp": self.row.stamp(id), "code": project_code(), "time": round(time.time(), 3)}
            record = Record(self.row.key, id, "failed", on_one_line(error), **facts)
            self.take(record, type(error).__name__)

    def segmented(
        self,
        picture: DecodedPicture,
        outline: Outline,
        labels: NDArray[np.integer],
        underflow: float | None,
        device: str,
        seconds: Mapping[str, float],
    ) -> None:
        """Compares the segments of a picture with its truth, records the result, and keeps the label map.

        Args:
            picture: the picture with its truth.
            outline: the input of the segmenter.
            labels: segments at the scored pixels; negative: in no segment.
            underflow: `diffseg.aggregation.underflow_fraction` of the attention; None without attention.
            device: device of the attention, as records name it.
            seconds: time to compute the ``attention`` and to ``segment``.
        """
        # The label map is written first, so that a run killed before the record evaluates the picture again.
        if picture.id in self.kept:
            path = self.run.label_path(self.row.key, picture.id)
            with writing(path):
                write_label_map(path, labels)
        if picture.id in self._done:
            return
        tables, counts = compare(labels, picture.truths[self.row.scoring], self.row.scoring.components)
        record = Record(
            self.row.key,
            picture.id,
            stored_tables={name: table.to_json() for name, table in tables.items()},
            counts=counts,
            segments=segment_count(labels, tables),
            underflow=underflow,
            device=device,
            dtype=self.row.recorded["backbone"].get("dtype") or "",
            seconds=seconds,
            stamp=self.row.stamp(picture.id),
            code=project_code(),
            unscored={str(value): pixels for value, pixels in picture.unscored.items()},
            time=round(time.time(), 3),
        )
        remarks = getattr(self.row.segmenter, "remarks", None) if self.row.reads_files else None
        self.take(record, remarks=(picture.remarks, remarks(outline) if remarks else None))

    def compared(self, picture: DecodedPicture) -> None:
        """Adds what a new protocol needs to an old result, from the kept label map.

        Raises:
            LabelMapError: see `eval.truth.compare_kept`.
        """
        record, scoring = cast(Record, self.run.records.get(self.row.key, picture.id)), self.row.scoring
        path = self.run.label_path(self.row.key, picture.id)
        tables, counts = compare_kept(path, record.segments, picture.truths[scoring], scoring.components)
        self.take(merged_record(record, tables, counts))

    def take(self, record: Record, error: str = "", remarks: Remarks | None = None) -> None:
        """Writes a result that this process or a worker has computed, and counts its picture as done or failed.

        Args:
            record: the result or failure of a picture.
            error: class of the error of a failed picture.
            remarks: about the files of a picture that was segmented.
        """
        if self.send:
            self.send(record, error, remarks)
        else:
            self.run.record(record)
            self.on_record(record)
        id = record.picture
        if remarks:
            self._remarks[id] = remarks
        if record.ok:
            self._from_map.discard(id)
            self._count(record)
            return
        self.failed[id] = error, f"{id}: {record.reason}"
        if self.send:
            return  # the other process warns
        if len(self.failed) <= FAILURES_SHOWN:
            logger.warning("%s, %s: failed: %s", id, self.row.name, record.reason)
        elif len(self.failed) == FAILURES_SHOWN + 1:
            logger.warning("%s: more pictures fail; per_image.csv will list their reasons", self.row.name)

    def score(self) -> str:
        """ACC and mIoU so far, for the progress bar. Empty before the first picture, and without classes."""
        if self._uncounted and self._protocol:  # all since the last call at once
            background, reads_files = self.row.dataset.background, self.row.reads_files
            self._total += count_images(self._uncounted, self._protocol, background, reads_files).total
            self._uncounted = PackedTables()
        if not self._total.labelled:
            return ""
        return f"{self.row.name} ACC {accuracy(self._total):.1%} mIoU {mean_iou(self._total):.1%}"

    def _count(self, record: Record) -> None:
        """Counts a picture as done. Its score is known if a protocol matches within the image."""
        self._done.add(record.picture)
        if self._protocol and not self.send and "classes" in record.stored_tables:
            self._uncounted.append(record.stored_tables["classes"])
