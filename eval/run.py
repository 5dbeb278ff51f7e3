"""The run loop: every picture once through each backbone, every row's segmenter on the tensor they share.

The rows may belong to several jobs, each with records of its own: those of a sweep share passes and tensors too.
"""

from __future__ import annotations

import logging
import re
import time
import traceback
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.base import Dataset, DatasetError
from datasets.transforms import classes_in_square, square_image, square_label
from diffseg.aggregation import Aggregation, underflow_fraction
from diffseg.attention import AttentionError, AttentionMaps
from diffseg.backbones import AttentionModel, Backbone
from diffseg.merging import Merger, NoProposals
from diffseg.pictures import write_label_map
from diffseg.segmenters import Scene
from eval.config import ConfigError
from eval.files import writing
from eval.matching import Counts, contingency, match_contingency
from eval.methods import Method
from eval.metrics import accuracy, mean_iou
from eval.progress import Progress
from eval.protocols import PROTOCOLS
from eval.records import Record, RecordFile, variant_key
from eval.shards import Shard

logger = logging.getLogger(__name__)
Item = TypeVar("Item")

# A picture's own failure: the run records it and goes on. Anything else is a fault of ours and stops the run.
PICTURE_ERRORS = (DatasetError, AttentionError, NoProposals, torch.OutOfMemoryError)


@dataclass(frozen=True)
class Job:
    """What one results folder is to hold.

    Attributes:
        methods: its rows.
        records: where each result is appended as soon as it is there.
        labels: folder in which the label maps of the first ``panels`` pictures are kept (`label_path`).
        panels: see ``labels``.
        watch: is shown each record that has been appended.
    """

    methods: Sequence[Method]
    records: RecordFile
    labels: Path
    panels: int
    watch: Callable[[Record], None] = lambda record: None


def run(jobs: Sequence[Job], device: str, shard: Shard) -> None:
    """Evaluates every picture of every method that its job's records do not hold yet.

    Methods of one data set and encoder share one pass over the pictures, those of one backbone its attention, those
    of one aggregation one tensor, whichever jobs they belong to.

    Args:
        jobs: each with its own records.
        device: for `diffseg.backbones.Backbone.load`.
        shard: which of the pictures are this process's.

    Raises:
        WriteError: a record or label map could not be written.
    """
    tasks = [_Task(method, job) for job in jobs for method in job.methods]
    for shared in grouped(tasks, lambda task: _pass_of(task.method)):
        _run_pass(shared, device, shard)


def record_order(methods: Sequence[Method]) -> list[tuple[str, str]]:
    """Key and image of every record of a job, in the order in which `run` writes them when the job is alone."""
    return [
        (variant_key(method.settings), image)
        for shared in grouped(methods, _pass_of)
        for image in shared[0].row.dataset.ids
        for attention in grouped(shared, _backbone_of)
        for tensor in grouped(attention, _aggregation_of)
        for method in tensor
    ]


def _pass_of(method: Method) -> tuple[Dataset, Hashable]:
    return method.row.dataset, method.row.backbone.encoder


def _backbone_of(method: Method) -> Backbone:
    return method.row.backbone


def _aggregation_of(method: Method) -> Aggregation:
    return method.aggregation


def label_path(labels: Path, name: str, key: str, image: str) -> Path:
    """Where the label map of a picture is kept for the row ``name``; enough of the key to tell namesakes apart."""
    return labels / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}-{key[:6]}" / f"{image}.png"


@dataclass(frozen=True)
class _Picture:
    """What the tasks of one picture share.

    Attributes:
        id: of the picture.
        image: the square that enters the backbone, ``(3, P, P)`` float32 in [0, 255].
        truths: side in pixels -> label ``(side, side)`` int16, for each side at which it is scored.
        true_classes: classes in its ground truth.
    """

    id: str
    image: Tensor
    truths: Mapping[int, Tensor]
    true_classes: int


class _Task:
    """What is left to do for one method, and its score so far."""

    def __init__(self, method: Method, job: Job) -> None:
        self.method, self.row, self.job = method, method.row, job
        self.key = job.records.declare(method.settings)
        self.kept = set(self.row.dataset.ids[: job.panels])
        self.shown = self.row.scoring.report[0]
        done = [record for record in job.records.records(self.key, self.row.dataset.ids) if self._counts(record)]
        self.total = sum(
            (Counts.from_json(record["counts"][self.shown]) for record in done),
            Counts.zeros(len(self.row.dataset.classes)),
        )

    def _counts(self, record: Record) -> bool:
        """Whether a record is of an evaluated picture whose files have not changed since."""
        return record["status"] == "ok" and record["data"] == self.row.dataset.state(record["image"])

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
        self.job.watch(record)

    def fail(self, image: str, error: Exception) -> None:
        """Records that a picture could not be evaluated, and why."""
        reason = " ".join(str(error).split())
        logger.warning("%s, %s: failed: %s", image, self.row.name, reason)
        self.append({"type": "image", "key": self.key, "image": image, "status": "failed", "reason": reason})

    def evaluate(
        self, picture: _Picture, merger: Merger, features: Tensor | None, seconds: float
    ) -> tuple[NDArray[np.int64], Record]:
        """Segments one picture and scores it.

        Args:
            picture: its pixels and truth.
            merger: of the aggregated tensor.
            features: of its attention.
            seconds: time that the tensor took.

        Returns:
            Label map ``(P, P)`` and record.
        """
        image, truth = picture.id, picture.truths[self.row.size]
        scene = Scene(merger, self.row.size, picture.true_classes, features, picture.image, truth)
        start = _now(merger.aggregated)
        prediction = self.method.segmenter(scene).cpu().numpy()
        elapsed = _now(merger.aggregated) - start
        table = contingency(prediction, truth.numpy(), len(self.row.dataset.classes))
        background = self.row.dataset.background
        counts = {protocol: match_contingency(table, protocol, background) for protocol in PROTOCOLS}
        return prediction, {
            "type": "image",
            "key": self.key,
            "image": image,
            "status": "ok",
            "data": self.row.dataset.state(image),
            "segments": len(np.unique(prediction)),
            "underflow": underflow_fraction(merger.aggregated),
            "counts": {protocol: each.to_json() for protocol, each in counts.items()},
            "seconds": {"attention": seconds, "segment": elapsed},
        }

    def keep(self, prediction: NDArray[np.int64], record: Record) -> None:
        """Takes what `evaluate` returned, of this task or of another of the same key."""
        image = record["image"]
        if image in self.kept:
            with writing(self.path(image)):
                self.path(image).parent.mkdir(parents=True, exist_ok=True)
                write_label_map(self.path(image), prediction)
        if not self.recorded(image):
            self.append(record)
            self.total += Counts.from_json(record["counts"][self.shown])

    def score(self) -> str:
        """ACC and mIoU so far, for the progress bar."""
        return f"{self.row.name} ACC {accuracy(self.total):.1%} mIoU {mean_iou(self.total):.1%}"


def _run_pass(tasks: Sequence[_Task], device: str, shard: Shard) -> None:
    """One pass of one backbone over this process's share of one data set, for the tasks that share it."""
    row = tasks[0].row
    share = shard.share(row.dataset.ids)
    left = [image for image in share if any(task.wants(image) for task in tasks)]
    if not left:
        return
    try:
        model = row.backbone.load(device)
    except ValueError as error:
        raise ConfigError(f"backbone.{error}") from error
    title = f"{row.dataset.name}, {row.choices['backbone']} {row.size} px"
    if (jobs := len({id(task.job) for task in tasks})) > 1:
        title += f", {jobs} jobs"
    if shard.count > 1:
        title += f", share {shard.index + 1} of {shard.count}"
    with Progress(title, len(share), len(share) - len(left), shown=shard.leads) as bar:
        for image in left:
            _run_image(image, [task for task in tasks if task.wants(image)], model)
            bar.advance(tasks[-1].score())


def _run_image(image: str, tasks: Sequence[_Task], model: AttentionModel) -> None:
    row = tasks[0].row
    with _recording_failures(image, tasks):
        sample = row.dataset.load(image)
        truths = {size: square_label(sample, size) for size in {task.row.size for task in tasks}}
        picture = _Picture(image, square_image(sample, row.backbone.size), truths, classes_in_square(sample))
        start = time.perf_counter()
        encoded = model.encode(picture.image[None])
        seconds = _now(encoded) - start
        for shared in grouped(tasks, lambda task: _backbone_of(task.method)):
            _run_attention(picture, encoded, model, shared, seconds)


def _run_attention(
    picture: _Picture, encoded: Tensor, model: AttentionModel, tasks: Sequence[_Task], seconds: float
) -> None:
    """The tasks that share one backbone's attention. ``seconds``: time that the encoding took."""
    with _recording_failures(picture.id, tasks):
        start = time.perf_counter()
        (maps,) = model.attend_encoded(encoded, tasks[0].row.backbone)
        attended = seconds + _now(maps.maps[maps.sides[0]]) - start
        for shared in grouped(tasks, lambda task: _aggregation_of(task.method)):
            _run_tensor(picture, maps, shared, attended)


def _run_tensor(picture: _Picture, maps: AttentionMaps, tasks: Sequence[_Task], attended: float) -> None:
    """The tasks that share one aggregated tensor."""
    with _recording_failures(picture.id, tasks):
        start = time.perf_counter()
        aggregated = tasks[0].method.aggregation(maps)
        seconds = attended + _now(aggregated) - start
        merger = Merger(aggregated)
        # Jobs may have rows in common, such as the baselines beside a sweep over tau.
        for same in grouped(tasks, lambda task: task.key):
            with _recording_failures(picture.id, same):
                result = same[0].evaluate(picture, merger, maps.features, seconds)
                for task in same:
                    task.keep(*result)


@contextmanager
def _recording_failures(image: str, tasks: Iterable[_Task]) -> Iterator[None]:
    """What goes wrong inside with a picture is recorded as a failure of these tasks, unless they have its result."""
    try:
        yield
    except PICTURE_ERRORS as error:
        for task in tasks:
            if not task.recorded(image):
                task.fail(image, error)
        # The tensors that the failed work holds are memory that the next picture needs.
        traceback.clear_frames(error.__traceback__)
        torch.cuda.empty_cache()


def _now(tensor: Tensor) -> float:
    """Time in seconds once the work queued on the tensor's device is done."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return time.perf_counter()


def grouped(items: Iterable[Item], key: Callable[[Item], Any]) -> list[list[Item]]:
    """Items with equal keys together, groups and items in the order they came (keys need not sort or hash)."""
    groups: list[tuple[Any, list[Item]]] = []
    for item in items:
        value = key(item)
        for other, members in groups:
            if other == value:
                members.append(item)
                break
        else:
            groups.append((value, [item]))
    return [members for _, members in groups]
