"""The run loop: every picture once through each backbone, every row's segmenter on the tensor they share."""

from __future__ import annotations

import logging
import re
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from datasets.base import DatasetError
from datasets.transforms import classes_in_square, square_image, square_label
from diffseg.aggregation import Aggregation, underflow_fraction
from diffseg.attention import AttentionError, AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.merging import NoProposals
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


def run(methods: Sequence[Method], records: RecordFile, labels: Path, device: str, panels: int, shard: Shard) -> None:
    """Evaluates every picture of every method that the records do not hold yet.

    Args:
        methods: those of one data set and backbone share one pass, those of one aggregation one tensor.
        records: where each result is appended as soon as it is there.
        labels: folder in which the label maps of the first ``panels`` pictures are kept (`label_path`).
        device: for `diffseg.backbones.Backbone.load`.
        panels: see ``labels``.
        shard: which of the pictures are this process's.

    Raises:
        WriteError: a record or label map could not be written.
    """
    for shared in _passes(methods):
        _run_pass([_Task(method, records, labels, panels) for method in shared], device, shard)


def record_order(methods: Sequence[Method]) -> list[tuple[str, str]]:
    """Key and image of every record of a run, in the order in which `run` writes them."""
    return [
        (variant_key(method.settings), image)
        for shared in _passes(methods)
        for image in shared[0].row.dataset.ids
        for tensor in grouped(shared, _aggregation)
        for method in tensor
    ]


def _passes(methods: Sequence[Method]) -> list[list[Method]]:
    return grouped(methods, lambda method: (method.row.dataset, method.row.backbone))


def _aggregation(method: Method) -> Aggregation:
    return method.aggregation


def label_path(labels: Path, method: Method, key: str, image: str) -> Path:
    """Where a method's label map of a picture is kept; enough of the key to tell namesakes apart."""
    name = re.sub(r"[^a-z0-9]+", "-", method.row.name.lower())
    return labels / f"{name}-{key[:6]}" / f"{image}.png"


@dataclass(frozen=True)
class _Picture:
    """What the tasks of one picture share.

    Attributes:
        id: of the picture.
        truths: side in pixels -> label ``(side, side)`` int16, for each side at which it is scored.
        true_classes: classes in its ground truth.
    """

    id: str
    truths: Mapping[int, Tensor]
    true_classes: int


class _Task:
    """What is left to do for one method, and its score so far."""

    def __init__(self, method: Method, records: RecordFile, labels: Path, panels: int) -> None:
        self.method, self.row = method, method.row
        self.records = records
        self.labels = labels
        self.key = records.declare(method.settings)
        self.kept = set(self.row.dataset.ids[:panels])
        self.shown = self.row.scoring.report[0]
        done = [record for record in records.records(self.key, self.row.dataset.ids) if self._counts(record)]
        self.total = sum(
            (Counts.from_json(record["counts"][self.shown]) for record in done),
            Counts.zeros(len(self.row.dataset.classes)),
        )

    def _counts(self, record: Record) -> bool:
        """Whether a record is of an evaluated picture whose files have not changed since."""
        return record["status"] == "ok" and record["data"] == self.row.dataset.state(record["image"])

    def recorded(self, image: str) -> bool:
        """Whether a picture need not be evaluated again."""
        return any(self._counts(record) for record in self.records.records(self.key, [image]))

    def wants(self, image: str) -> bool:
        """Whether a picture has no record yet, or no label map where one is kept."""
        return not self.recorded(image) or (image in self.kept and not self.path(image).is_file())

    def path(self, image: str) -> Path:
        return label_path(self.labels, self.method, self.key, image)

    def fail(self, image: str, error: Exception) -> None:
        """Records that a picture could not be evaluated, and why."""
        reason = " ".join(str(error).split())
        logger.warning("%s, %s: failed: %s", image, self.row.name, reason)
        self.records.append({"type": "image", "key": self.key, "image": image, "status": "failed", "reason": reason})

    def evaluate(self, picture: _Picture, aggregated: Tensor, shared: Mapping[str, Any], seconds: float) -> None:
        """Segments one picture, scores it, and appends the record.

        Args:
            picture: its truth.
            aggregated: ``(S*S, S*S)``.
            shared: what the record says of the tensor.
            seconds: time that the tensor took.
        """
        image, truth = picture.id, picture.truths[self.row.size]
        scene = Scene(aggregated, self.row.size, picture.true_classes)
        start = _now(aggregated)
        prediction = self.method.segmenter(scene).cpu().numpy()
        elapsed = _now(aggregated) - start
        if image in self.kept:
            with writing(self.path(image)):
                self.path(image).parent.mkdir(parents=True, exist_ok=True)
                write_label_map(self.path(image), prediction)
        if self.recorded(image):
            return
        table = contingency(prediction, truth.numpy(), len(self.row.dataset.classes))
        counts = {protocol: match_contingency(table, protocol) for protocol in PROTOCOLS}
        record: Record = {
            "type": "image",
            "key": self.key,
            "image": image,
            "status": "ok",
            "data": self.row.dataset.state(image),
            "segments": len(set(prediction.ravel().tolist())),
            **shared,
            "counts": {protocol: each.to_json() for protocol, each in counts.items()},
            "seconds": {"attention": seconds, "segment": elapsed},
        }
        self.records.append(record)
        self.total += counts[self.shown]

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
        picture = _Picture(image, truths, classes_in_square(sample))
        pixels = square_image(sample, row.backbone.size)
        start = time.perf_counter()
        maps = model.attend(pixels[None])[0]
        attended = _now(maps.maps[maps.sides[0]]) - start
        for shared in grouped(tasks, lambda task: _aggregation(task.method)):
            _run_tensor(picture, maps, shared, attended)


def _run_tensor(picture: _Picture, maps: AttentionMaps, tasks: Sequence[_Task], attended: float) -> None:
    """The tasks that share one aggregated tensor."""
    with _recording_failures(picture.id, tasks):
        start = time.perf_counter()
        aggregated = tasks[0].method.aggregation(maps)
        seconds = attended + _now(aggregated) - start
        shared = {"underflow": underflow_fraction(aggregated)}
        for task in tasks:
            with _recording_failures(picture.id, [task]):
                task.evaluate(picture, aggregated, shared, seconds)


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
