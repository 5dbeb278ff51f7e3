"""The run loop: every picture once through each backbone, every row's segmenter on the tensor they share.

The rows may belong to several jobs, each with records of its own: those of a sweep share passes and tensors too.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from datasets.base import Dataset, DatasetError
from diffseg.aggregation import Aggregation, underflow_fraction
from diffseg.attention import AttentionError, AttentionMaps
from diffseg.backbones import AttentionModel, Backbone
from diffseg.merging import NoProposals
from eval.config import ConfigError
from eval.decoding import Picture, decoded_ahead
from eval.progress import Progress
from eval.row_progress import Job, RowProgress, now
from eval.rows import RowToRun
from eval.shards import Shard

Item = TypeVar("Item")

# A picture's own failure: the run records it and goes on. Anything else is a fault of ours and stops the run.
PICTURE_ERRORS = (DatasetError, AttentionError, NoProposals, torch.OutOfMemoryError)

# What torch's plain errors say where its CPU allocator, CUDA, cuBLAS or cuDNN got no memory.
NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")

# Pictures that pass the backbone together where the user gives no number. One leaves a GPU waiting for its next kernel;
# on a CPU more would only take more memory.
CPU_BATCH, GPU_BATCH = 1, 8


def run(jobs: Sequence[Job], device: str, shard: Shard, batch_size: int | None = None) -> None:
    """Evaluates every picture of every row that its job's records do not hold yet.

    Rows of one data set and encoder share one pass over the pictures, those of one backbone its attention, those
    of one aggregation one tensor, whichever jobs they belong to.

    Args:
        jobs: each with its own records.
        device: for `diffseg.backbones.Backbone.load`.
        shard: which of the pictures are this process's.
        batch_size: pictures that pass a backbone together; None: `CPU_BATCH` or `GPU_BATCH`. Halved where memory does
            not hold so many.

    Raises:
        WriteError: a record or label map could not be written.
    """
    if batch_size is None:
        batch_size = CPU_BATCH if torch.device(device).type == "cpu" else GPU_BATCH
    tasks = [RowProgress(row, job) for job in jobs for row in job.rows]
    for shared in grouped(tasks, lambda task: _pass_of(task.row)):
        _run_pass(shared, device, shard, batch_size)


def record_order(rows: Sequence[RowToRun]) -> list[tuple[str, str]]:
    """Key and image of every record of a job, in the order in which `run` writes them where it is alone.

    Picture by picture, that is: within a batch of several, `run` goes backbone by backbone.
    """
    return [
        (row.key, image)
        for shared in grouped(rows, _pass_of)
        for image in shared[0].config.dataset.ids
        for attention in grouped(shared, _backbone_of)
        for tensor in grouped(attention, _aggregation_of)
        for row in tensor
    ]


def _pass_of(row: RowToRun) -> tuple[Dataset, Hashable]:
    return row.config.dataset, row.config.backbone.encoder


def _backbone_of(row: RowToRun) -> Backbone:
    return row.config.backbone


def _aggregation_of(row: RowToRun) -> Aggregation:
    return row.aggregation


def _run_pass(tasks: Sequence[RowProgress], device: str, shard: Shard, batch_size: int) -> None:
    """One pass of one backbone over this process's share of one data set, for the tasks that share it."""
    row = tasks[0].config
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
    scored = {task.config.size for task in tasks}
    backbones = grouped(tasks, lambda task: _backbone_of(task.row))
    pictures = decoded_ahead(row.dataset, left, row.backbone.size, scored, ahead=2 * batch_size)
    with Progress(title, len(share), len(share) - len(left), shown=shard.leads) as bar:
        while batch := list(islice(pictures, batch_size)):
            if not _run_batch(_decoded(batch, tasks), backbones, model):
                batch_size = max(1, batch_size // 2)
            for _ in batch:
                bar.advance(tasks[-1].score())


def _decoded(batch: Iterable[tuple[str, Future[Picture]]], tasks: Sequence[RowProgress]) -> list[Picture]:
    """The pictures that could be read; the others are recorded as failed."""
    pictures = []
    for image, future in batch:
        try:
            pictures.append(future.result())
        except PICTURE_ERRORS as error:
            _fail(image, tasks, error)
    return pictures


def _run_batch(pictures: Sequence[Picture], backbones: Sequence[Sequence[RowProgress]], model: AttentionModel) -> bool:
    """Encodes decoded pictures once for all tasks, grouped by backbone. Returns whether memory sufficed."""
    sufficed = []

    def encode(pictures: Sequence[Picture]) -> None:
        start = time.perf_counter()
        encoded = model.encode(torch.stack([picture.image for picture in pictures]))
        seconds = (now(encoded) - start) / len(pictures)
        for tasks in backbones:
            pairs = zip(pictures, encoded, strict=True)
            wanted = [pair for pair in pairs if any(task.wants(pair[0].id) for task in tasks)]
            attend = partial(_attend, tasks=tasks, model=model, seconds=seconds)
            sufficed.append(_in_halves(wanted, attend, lambda pair, error: _fail(pair[0].id, tasks, error)))  # noqa: B023

    everyone = [task for tasks in backbones for task in tasks]
    sufficed.append(_in_halves(pictures, encode, lambda picture, error: _fail(picture.id, everyone, error)))
    return all(sufficed)


def _in_halves(
    batch: Sequence[Item], work: Callable[[Sequence[Item]], None], fail: Callable[[Item, Exception], None]
) -> bool:
    """Works on a batch; where one of it fails, or memory, on each half alone. Returns whether memory sufficed."""
    if not batch:
        return True
    try:
        with _one_memory_error():
            work(batch)
    except PICTURE_ERRORS as error:
        if len(batch) == 1:
            fail(batch[0], error)
        else:
            _release(error)
            middle = len(batch) // 2
            for half in (batch[:middle], batch[middle:]):
                _in_halves(half, work, fail)
        return not isinstance(error, torch.OutOfMemoryError)
    return True


@contextmanager
def _one_memory_error() -> Iterator[None]:
    """Raises torch.OutOfMemoryError however torch has said that memory ran out."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or not any(said in str(error) for said in NO_MEMORY):
            raise
        raise torch.OutOfMemoryError(str(error)).with_traceback(error.__traceback__) from None


def _attend(
    batch: Sequence[tuple[Picture, Tensor]], tasks: Sequence[RowProgress], model: AttentionModel, seconds: float
) -> None:
    """Attends a batch and hands each picture's attention to the tasks that want it.

    Args:
        batch: pictures, and what the encoder made of each.
        tasks: of one backbone.
        model: loaded for it.
        seconds: a picture, that the encoding took.
    """
    start = time.perf_counter()
    attention = model.attend_encoded(torch.stack([encoded for _, encoded in batch]), tasks[0].config.backbone)
    finest = attention[0].maps[attention[0].sides[0]]
    seconds += (now(finest) - start) / len(batch)
    for picture, maps in zip([each.to(finest.device) for each, _ in batch], attention, strict=True):
        wanting = [task for task in tasks if task.wants(picture.id)]
        for alike in grouped(wanting, lambda task: _aggregation_of(task.row)):
            _run_tensor(picture, maps, alike, seconds, alone=len(batch) == 1)


def _run_tensor(
    picture: Picture, maps: AttentionMaps, tasks: Sequence[RowProgress], seconds: float, alone: bool
) -> None:
    """The tasks that share one aggregated tensor.

    Args:
        picture, maps: the picture and its attention.
        tasks: of one aggregation.
        seconds: that the attention took.
        alone: whether no other picture's attention takes memory; else running out of it is the batch's failure.
    """
    own_errors = tuple(kind for kind in PICTURE_ERRORS if alone or kind is not torch.OutOfMemoryError)
    try:
        with _one_memory_error():
            start = time.perf_counter()
            aggregated = tasks[0].row.aggregation(maps)
            seconds += now(aggregated) - start
            underflow = underflow_fraction(aggregated)
    except own_errors as error:
        _fail(picture.id, tasks, error)
        return
    shared: dict[str, Any] = {}
    # Jobs may have rows in common, such as the baselines beside a sweep over tau.
    for same in grouped(tasks, lambda task: task.key):
        try:
            with _one_memory_error():
                result = same[0].evaluate(picture, aggregated, maps.features, shared, underflow, seconds)
        except own_errors as error:
            _fail(picture.id, same, error)
            continue
        for task in same:
            task.keep(*result)


def _fail(image: str, tasks: Iterable[RowProgress], error: Exception) -> None:
    """Records a failure of these tasks, unless they have the picture's result."""
    for task in tasks:
        if not task.recorded(image):
            task.fail(image, error)
    _release(error)


def _release(error: Exception) -> None:
    """Frees what the failed work holds: the next picture needs the memory."""
    traceback.clear_frames(error.__traceback__)
    torch.cuda.empty_cache()


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
