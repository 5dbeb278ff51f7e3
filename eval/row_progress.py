"""Progress of a row in a job: which pictures are still to do, and how one is evaluated and recorded."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffseg.pictures import write_label_map
from diffseg.segmenters.base import Scene
from eval.decoding import Picture
from eval.files import writing
from eval.matching import Counts, contingency, match_contingency
from eval.metrics import accuracy, mean_iou
from eval.protocols import PROTOCOLS
from eval.records import Record, RecordFile
from eval.rows import RowToRun

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What one results folder is to hold.

    Attributes:
        rows: in the order of the tables.
        records: where each result is appended as soon as it is there.
        labels: folder in which the label maps of the first ``panels`` pictures are kept (`label_path`).
        panels: see ``labels``.
        on_record: called with each record that has been appended.
    """

    rows: Sequence[RowToRun]
    records: RecordFile
    labels: Path
    panels: int
    on_record: Callable[[Record], None] = lambda record: None


def label_path(labels: Path, name: str, key: str, image: str) -> Path:
    """Where the label map of a picture is kept for the row ``name``; enough of the key to tell namesakes apart."""
    return labels / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}-{key[:6]}" / f"{image}.png"


class RowProgress:
    """The progress of one row in a job: its pictures still to do, its records and its score so far."""

    def __init__(self, row: RowToRun, job: Job) -> None:
        self.row, self.config, self.job = row, row.config, job
        self.key = job.records.declare(row.recorded)
        self.kept = set(self.config.dataset.ids[: job.panels])
        self.shown = self.config.scoring.report[0]
        done = [record for record in job.records.records(self.key, self.config.dataset.ids) if self._counts(record)]
        self.total = sum(
            (Counts.from_json(record["counts"][self.shown]) for record in done),
            Counts.zeros(len(self.config.dataset.classes)),
        )

    def _counts(self, record: Record) -> bool:
        """Whether a record is of an evaluated picture whose files have not changed since."""
        return record["status"] == "ok" and record["data"] == self.config.dataset.state(record["image"])

    def recorded(self, image: str) -> bool:
        """Whether a picture need not be evaluated again."""
        return any(self._counts(record) for record in self.job.records.records(self.key, [image]))

    def wants(self, image: str) -> bool:
        """Whether a picture has no record yet, or no label map where one is kept."""
        return not self.recorded(image) or (image in self.kept and not self.path(image).is_file())

    def path(self, image: str) -> Path:
        return label_path(self.job.labels, self.row.name, self.key, image)

    def append(self, record: Record) -> None:
        self.job.records.append(record)
        self.job.on_record(record)

    def fail(self, image: str, error: Exception) -> None:
        """Records that a picture could not be evaluated, and why."""
        reason = " ".join(str(error).split())
        logger.warning("%s, %s: failed: %s", image, self.row.name, reason)
        self.append({"type": "image", "key": self.key, "image": image, "status": "failed", "reason": reason})

    def evaluate(
        self,
        picture: Picture,
        aggregated: Tensor,
        features: Tensor | None,
        shared: dict[str, Any],
        underflow: float,
        seconds: float,
    ) -> tuple[Tensor, Record]:
        """Segments one picture and scores it, all on the device of its tensors but for the matching.

        Args:
            picture: its pixels and truth.
            aggregated: the tensor.
            features: of its attention.
            shared: what the rows of this tensor share.
            underflow: `diffseg.aggregation.underflow_fraction` of the tensor.
            seconds: time that the tensor took.

        Returns:
            Label map ``(P, P)`` int64 and record.
        """
        image, truth = picture.id, picture.truths[self.config.size]
        scene = Scene(
            aggregated=aggregated,
            size=self.config.size,
            true_classes=picture.true_classes,
            features=features,
            image=picture.image,
            truth=truth,
            shared=shared,
        )
        start = now(aggregated)
        prediction = self.row.segmenter(scene).to(truth.device)  # some work on the CPU
        elapsed = now(aggregated) - start
        table = contingency(prediction, truth, len(self.config.dataset.classes))
        background = self.config.dataset.background
        counts = {protocol: match_contingency(table, protocol, background) for protocol in PROTOCOLS}
        return prediction, {
            "type": "image",
            "key": self.key,
            "image": image,
            "status": "ok",
            "data": self.config.dataset.state(image),
            "segments": int(prediction.flatten().bincount().count_nonzero()),
            "underflow": underflow,
            "counts": {protocol: each.to_json() for protocol, each in counts.items()},
            "seconds": {"attention": seconds, "segment": elapsed},
        }

    def keep(self, prediction: Tensor, record: Record) -> None:
        """Takes what `evaluate` returned, of this task or of another of the same key."""
        image = record["image"]
        if image in self.kept:
            with writing(self.path(image)):
                self.path(image).parent.mkdir(parents=True, exist_ok=True)
                write_label_map(self.path(image), prediction.cpu().numpy())
        if not self.recorded(image):
            self.append(record)
            self.total += Counts.from_json(record["counts"][self.shown])

    def score(self) -> str:
        """ACC and mIoU so far, for the progress bar."""
        return f"{self.row.name} ACC {accuracy(self.total):.1%} mIoU {mean_iou(self.total):.1%}"


def now(tensor: Tensor) -> float:
    """Time in seconds once the work queued on the tensor's device is done."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return time.perf_counter()
