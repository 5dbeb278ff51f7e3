"""The progress of a row: the pictures that remain, and the records of those that are done."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from diffseg.remarks import Remark, remark_lines
from diffseg.segmenters.base import Outline
from diffseg.texts import on_one_line
from eval.code import project_code
from eval.decoding import DecodedPicture
from eval.label_maps import write_label_map
from eval.matching import Counts
from eval.metrics import accuracy, mean_iou
from eval.protocols import PROTOCOLS
from eval.records import Record, merged_record
from eval.rows import RowConfig
from eval.runs import Run
from eval.scores import count_images
from eval.storage.files import writing
from eval.truth import compare, compare_kept, segment_count

logger = logging.getLogger(__name__)

FAILURES_SHOWN = 10
"""Number of failures of a row that are printed while it runs."""


class RowProgress:
    """The progress of a row in an open run.

    Args:
        row: the row, prepared.
        run: open; each result is appended at once.
        kept: ids of the pictures whose label maps are kept.
        again: True also segments pictures with a result whose label map is missing.
        on_record: called with each new record.
    """

    def __init__(
        self,
        row: RowConfig,
        run: Run,
        kept: frozenset[str] = frozenset(),
        again: bool = False,
        on_record: Callable[[Record], None] = lambda record: None,
    ) -> None:
        self.row, self.run, self.kept, self.again, self.on_record = row, run, kept, again, on_record
        self._picture_remarks: dict[str, Sequence[Remark]] = {}
        self._map_remarks: dict[str, Sequence[Remark]] = {}
        self.errors: list[tuple[str, str]] = []
        self.failed: set[str] = set()  # in this run; the next run tries these pictures again
        self._shown = next((name for name in row.protocols if name in PROTOCOLS), None)
        valid = {id for id in row.dataset.ids if self._valid(id)}
        self._done = {id for id in valid if self._has_truths(id)}
        self.total = Counts.zeros(len(row.dataset.classes))
        for id in self._done:
            self.total += self._counts(self._record(id))
        # A new protocol needs the label map of an old result, or another segmentation.
        self._from_map = {id for id in valid - self._done if run.label_path(row.key, id).is_file()}

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
        kinds = {kind for kind, _ in self.errors}
        return not self._done and len(self.errors) >= FAILURES_SHOWN and len(kinds) == 1

    def note(self, picture: DecodedPicture, outline: Outline) -> None:
        """Keeps what the user should know about the files of a picture, see `remark_lines`."""
        reads = self.row.reads_files and hasattr(self.row.segmenter, "remarks")
        self.keep_remarks(
            picture.id, picture.remarks, cast(Any, self.row.segmenter).remarks(outline) if reads else None
        )

    def keep_remarks(self, id: str, of_picture: Sequence[Remark], of_map: Sequence[Remark] | None) -> None:
        """Keeps the remarks about a picture, and about its label map if the segmenter reads one."""
        self._picture_remarks[id] = of_picture
        if of_map is not None:
            self._map_remarks[id] = of_map

    def remark_lines(self) -> list[str]:
        """Lines about the files of the pictures that this process and its workers have segmented."""
        maps = remark_lines(self.row.name, self._map_remarks)
        return [*remark_lines(self.row.dataset.name, self._picture_remarks), *maps]

    def fail(self, id: str, error: Exception) -> None:
        """Records the failure of a picture and its reason, unless the picture has a result."""
        if id in self._done:
            return
        record = Record(
            self.row.key, id, "failed", on_one_line(error), stamp=self._stamp(id), code=project_code(), time=_time()
        )
        self.take(record, type(error).__name__)

    def segmented(
        self,
        picture: DecodedPicture,
        labels: NDArray[np.integer],
        underflow: float | None,
        device: str,
        seconds: Mapping[str, float],
    ) -> None:
        """Compares the segments of a picture with its truth, records the result, and keeps the label map.

        Args:
            picture: the picture with its truth.
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
        truth = picture.truths[self.row.scoring]
        tables, counts = compare(labels, truth, self.row.scoring.components)
        self.take(
            Record(
                self.row.key,
                picture.id,
                stored_tables={name: table.to_json() for name, table in tables.items()},
                counts=counts,
                segments=segment_count(labels, tables),
                underflow=underflow,
                device=device,
                dtype=self.row.recorded["backbone"].get("dtype") or "",
                seconds=seconds,
                stamp=self._stamp(picture.id),
                code=project_code(),
                unscored={str(value): pixels for value, pixels in picture.unscored.items()},
                time=_time(),
            )
        )

    def compared(self, picture: DecodedPicture) -> None:
        """Adds what a new protocol needs to an old result, from the kept label map.

        Raises:
            LabelMapError: see `eval.truth.compare_kept`.
        """
        record, scoring = self._record(picture.id), self.row.scoring
        path = self.run.label_path(self.row.key, picture.id)
        tables, counts = compare_kept(path, record.segments, picture.truths[scoring], scoring.components)
        self.take(merged_record(record, tables, counts))

    def take(self, record: Record, error: str = "") -> None:
        """Writes a result that this process or a worker has computed.

        Args:
            record: the result or failure of a picture.
            error: class of the error of a failed picture.
        """
        self.run.record(record)
        self.on_record(record)
        self.mark(record, error)

    def mark(self, record: Record, error: str = "") -> None:
        """Counts a picture as done or failed, and warns of the first failures. Arguments as for `take`."""
        id = record.picture
        if record.ok:
            self._from_map.discard(id)
            self._done.add(id)
            self.total += self._counts(record)
            return
        self.failed.add(id)
        self.errors.append((error, f"{id}: {record.reason}"))
        if len(self.failed) <= FAILURES_SHOWN:
            logger.warning("%s, %s: failed: %s", id, self.row.name, record.reason)
        elif len(self.failed) == FAILURES_SHOWN + 1:
            logger.warning("%s: more pictures fail; per_image.csv will list their reasons", self.row.name)

    def score(self) -> str:
        """ACC and mIoU so far, for the progress bar. Empty before the first picture, and without classes."""
        if not self.total.labelled:
            return ""
        return f"{self.row.name} ACC {accuracy(self.total):.1%} mIoU {mean_iou(self.total):.1%}"

    def _record(self, id: str) -> Record:
        return cast(Record, self.run.records.get(self.row.key, id))

    def _valid(self, id: str) -> bool:
        """True if a picture was evaluated, and its files have not changed since."""
        record = self.run.records.get(self.row.key, id)
        return record is not None and record.ok and record.stamp == self._stamp(id)

    def _has_truths(self, id: str) -> bool:
        return self.row.truths <= self._record(id).truths

    def _stamp(self, id: str) -> str:
        return self.row.stamp(id)

    def _counts(self, record: Record) -> Counts:
        """Counts for `score`; 0 with a protocol that does not match within the image."""
        if self._shown is None or "classes" not in record.stored_tables:
            return Counts.zeros(len(self.row.dataset.classes))
        table = [record.tables["classes"]]
        return count_images(table, self._shown, self.row.dataset.background, self.row.reads_files)[0]


def _time() -> float:
    return round(time.time(), 3)
