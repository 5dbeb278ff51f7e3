"""Evaluates and records the pictures of a row, and finds those that remain."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from datasets.base import Dataset
from diffseg.pictures import write_label_map
from diffseg.segmenters.base import ReadsFiles
from diffseg.texts import on_one_line
from eval.decoding import DecodedPicture
from eval.matching import Counts, contingency, match_contingency
from eval.metrics import accuracy, mean_iou
from eval.protocols import within_image
from eval.rows import Row
from eval.scores import SparseTable
from eval.storage.files import writing
from eval.storage.layout import label_path
from eval.storage.records import Record, RecordFile

logger = logging.getLogger(__name__)

FAILURES_SHOWN = 10
"""Number of failures of a row that are printed while it runs."""


@dataclass(frozen=True)
class Job:
    """The rows of a run, or of one job of a sweep.

    Attributes:
        rows: the rows, in the order of the tables.
        panels: number of pictures, from the first, whose label maps are kept.
        on_record: called with each new record of these rows.
    """

    rows: Sequence[Row]
    panels: int = 0
    on_record: Callable[[Record], None] = lambda record: None


class RowProgress:
    """The progress of a row: its remaining pictures, its records, and its score so far.

    Jobs that have the same row share its progress (`progress_of`).

    Args:
        row: the row, from `eval.rows.prepare`.
        records: open; each result is appended at once.
        folder: folder of the label maps, see `eval.storage.layout.label_path`.
    """

    def __init__(self, row: Row, records: RecordFile, folder: Path) -> None:
        self.row, self.records, self.folder = row, records, folder
        self.key = records.declare(row.recorded)
        self.jobs: list[Job] = []
        self.kept: set[str] = set()
        self.failed: set[str] = set()  # in this run; the next run tries these pictures again
        self.shown = row.config.protocol.report[0]
        done = [record for record in records.records(self.key, self.row.config.dataset.ids) if self._is_valid(record)]
        self.total = sum(map(self._counts, done), Counts.zeros(len(self.row.config.dataset.classes)))

    def join(self, job: Job) -> None:
        """Adds a job that has this row."""
        self.jobs.append(job)
        self.kept.update(self.row.config.dataset.ids[: job.panels])

    def recorded(self, id: str) -> bool:
        """True if a picture has a valid result."""
        return any(self._is_valid(record) for record in self.records.records(self.key, [id]))

    def wants(self, id: str) -> bool:
        """True if a picture has no valid result, or lacks a label map that must be kept; False after it has failed."""
        if id in self.failed:
            return False
        return not self.recorded(id) or (id in self.kept and not self.path(id).is_file())

    def path(self, id: str) -> Path:
        """Path of the label map of a picture."""
        return label_path(self.folder, self.key, id)

    def fail(self, id: str, error: Exception) -> None:
        """Records the failure of a picture and its reason, unless the picture has a result."""
        if self.recorded(id):
            return
        reason = on_one_line(error)
        self.failed.add(id)
        if len(self.failed) <= FAILURES_SHOWN:
            logger.warning("%s, %s: failed: %s", id, self.row.name, reason)
        elif len(self.failed) == FAILURES_SHOWN + 1:
            logger.warning("%s: more pictures fail; per_image.csv will list their reasons", self.row.name)
        self._append({"type": "image", "key": self.key, "image": id, "status": "failed", "reason": reason})

    def evaluate(
        self,
        picture: DecodedPicture,
        label_map: Tensor,
        aggregated: Tensor,
        underflow: float | None,
        seconds: Mapping[str, float],
    ) -> None:
        """Scores and records the label map of a picture, and keeps its label map if it is among the first ``panels``.

        Everything except the matching runs on the device of the tensors.

        Args:
            picture: the picture with its ground truth.
            label_map: what the row's segmenter returned.
            aggregated: ``(S*S, S*S)``, see `diffseg.aggregation`; ``(0, 0)`` without attention.
            underflow: `diffseg.aggregation.underflow_fraction` of the tensor; None without attention.
            seconds: time of the steps.
        """
        truth = picture.truths[self.row.config.size]
        prediction = label_map.to(truth.device)  # some segmenters work on the CPU
        table = contingency(prediction, truth, len(self.row.config.dataset.classes))
        dtype = self.row.recorded["backbone"].get("dtype")
        record = {
            "type": "image",
            "key": self.key,
            "image": picture.id,
            "status": "ok",
            "data": self._state(picture.id),
            "segments": int(prediction.flatten().bincount().count_nonzero()),
            "underflow": underflow,
            "table": SparseTable.of(table).to_json(),
            "device": device_name(aggregated.device),
            **({"dtype": dtype} if dtype else {}),
            "seconds": dict(seconds),
        }
        # The label map is written first, so that a run killed before the record evaluates the picture again.
        if picture.id in self.kept:
            self._keep(picture.id, prediction)
        if not self.recorded(picture.id):
            self._append(record)
            self.total += self._counts(record)

    def score(self) -> str:
        """ACC and mIoU so far, for the progress bar. Empty before the first picture, and with protocol ``dataset``."""
        if not self.total.labelled:
            return ""
        return f"{self.row.name} ACC {accuracy(self.total):.1%} mIoU {mean_iou(self.total):.1%}"

    def _is_valid(self, record: Record) -> bool:
        """True if a record belongs to an evaluated picture whose files have not changed since."""
        return record["status"] == "ok" and record["data"] == self._state(record["image"])

    def _state(self, id: str) -> str:
        """A text that changes if a file of the picture changes, including a label map that the segmenter reads."""
        state = self.row.config.dataset.state(id)
        segmenter = self.row.segmenter
        return f"{state} {segmenter.state(id)}" if isinstance(segmenter, ReadsFiles) else state

    def _counts(self, record: Record) -> Counts:
        """Counts for `score`; 0 with protocol ``dataset``, which matches when the run has ended."""
        if not within_image(self.shown):
            return Counts.zeros(len(self.row.config.dataset.classes))
        table = SparseTable.from_json(record["table"]).dense()
        return match_contingency(table, self.shown, self.row.config.dataset.background)

    def _keep(self, id: str, prediction: Tensor) -> None:
        with writing(self.path(id)):
            self.path(id).parent.mkdir(parents=True, exist_ok=True)
            write_label_map(self.path(id), prediction.cpu().numpy())

    def _append(self, record: Record) -> None:
        self.records.append(record)
        for job in self.jobs:
            job.on_record(record)


def progress_of(jobs: Iterable[Job], records: RecordFile, folder: Path) -> list[RowProgress]:
    """The progress of each row. A row that several jobs have on the same pictures is evaluated once."""
    found: dict[tuple[str, Dataset], RowProgress] = {}
    for job in jobs:
        for row in job.rows:
            place = row.key, row.config.dataset
            if place not in found:
                found[place] = RowProgress(row, records, folder)
            found[place].join(job)
    return list(found.values())


def now(tensor: Tensor) -> float:
    """Time in seconds, after waiting for the work queued on the tensor's device."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return time.perf_counter()


@cache
def device_name(device: torch.device) -> str:
    """Name of a device in the records: ``cpu``, or the model of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
