"""Evaluates batches of pictures with a backbone, or with segmenters that read the picture. Imports torch.

If memory runs out, or a picture of a batch fails, the work is done in halves: see `work_in_halves`.
"""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from itertools import islice, repeat
from typing import TypeVar

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence
from torch import Tensor

from diffseg.aggregation import underflow_fraction
from diffseg.attention import AttentionError, AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.backbones.device import NO_MEMORY, batch_size_for
from diffseg.backbones.saved import SavedAttention
from diffseg.merging import NoProposals
from diffseg.segmenters.base import segment_all
from eval.config import Scoring, config_errors
from eval.decoding import DecodedPicture, decoded_ahead
from eval.row_progress import RowProgress
from eval.run import READING_ERRORS, grouped

Item = TypeVar("Item")
Errors = tuple[type[Exception], ...]

# The run records these errors as failures of a picture and continues. Any other error is a bug and stops the run.
NOT_SOLVED: Errors = (np.linalg.LinAlgError, torch.linalg.LinAlgError, ArpackNoConvergence)
NOT_MEMORY: Errors = (*READING_ERRORS, AttentionError, NoProposals, *NOT_SOLVED)
PICTURE_ERRORS: Errors = (*NOT_MEMORY, torch.OutOfMemoryError)


def work_in_batches(
    rows: Sequence[RowProgress],
    ids: Iterable[str],
    truths: Mapping[Scoring, frozenset[str]],
    device: str,
    batch_size: int | None,
    ahead: bool,
) -> Iterator[str]:
    """Evaluates pictures for the rows of one pass; see `eval.run.work`. ``truths``: as for `eval.decoding.decode`."""
    first = rows[0].row
    batch_size = batch_size or batch_size_for(torch.device(device), first.backbone.size)
    batches = _Batches(rows, device)
    count = 2 * batch_size if ahead else 0
    decoding = decoded_ahead(first.dataset, ids, truths, first.backbone.size, count)
    while batch := list(islice(decoding, batch_size)):
        pictures = []
        for id, future in batch:
            with _recorded_failures(id, rows, PICTURE_ERRORS):
                pictures.append(future.result())
        batch_size = work_in_halves(pictures, batch_size, batches.evaluate, PICTURE_ERRORS)
        yield from (id for id, _ in batch)


class _Batches:
    """Evaluates batches of pictures for the rows of one pass.

    Args:
        rows: rows with the same data set, frame and encoder.
        device: as for `diffseg.backbones.Backbone.load`.
    """

    def __init__(self, rows: Sequence[RowProgress], device: str) -> None:
        self.rows, self.device = rows, device
        self.recorded = NOT_MEMORY  # errors that are recorded as failures of a picture; others are raised

    @cached_property
    def model(self) -> AttentionModel:
        """The backbone, loaded when the first picture needs it."""
        with config_errors("backbone."):
            return self.rows[0].row.backbone.load(self.device)

    def evaluate(self, pictures: Sequence[DecodedPicture], size: int, last_try: bool) -> None:
        """Evaluates decoded pictures for all rows. Skips valid results.

        Args:
            pictures: a batch of up to ``size`` pictures.
            size: number of images that pass the backbone. Copies of the last one fill an incomplete batch, so that all
                batches have one shape.
            last_try: True records all failures of a single picture. False raises failures of a batch of several
                pictures, and running out of memory, so that the caller tries smaller parts.
        """
        self.recorded = PICTURE_ERRORS if last_try else NOT_MEMORY
        for picture in pictures:
            for row in self.rows:
                if row.compares(picture.id):
                    with _recorded_failures(picture.id, [row], self.recorded):
                        row.compared(picture)
        remaining = [picture for picture in pictures if any(row.wants(picture.id) for row in self.rows)]
        if not remaining:
            return
        if not self.rows[0].row.backbone.sides:
            for picture in remaining:
                self._segment(picture, self.rows, torch.empty(0, 0), None, 0.0)
        elif isinstance(self.model, SavedAttention):
            for picture in remaining:
                with _recorded_failures(picture.id, self.rows, self.recorded):
                    start = time.perf_counter()
                    maps = self.model.attend_file(picture.id, picture.shape)
                    self._use(picture, maps, self.rows, now(_finest(maps)) - start)
        else:
            self._attend(pictures, size)

    def _attend(self, pictures: Sequence[DecodedPicture], size: int) -> None:
        """Passes a batch through the network. Failures of the batch are recorded only if it is a single picture."""
        recorded = self.recorded if len(pictures) == 1 else ()
        with _recorded_failures(pictures[0].id, self.rows, recorded):
            # Encode all pictures, once for all rows.
            start = time.perf_counter()
            images = [picture.image for picture in pictures if picture.image is not None]
            encoded = self.model.encode(torch.stack([*images, *repeat(images[-1], size - len(images))]))
            seconds = (now(encoded) - start) / len(pictures)
            # Attend, once for the rows of one network. Unwanted pictures stay, to keep the shape of the batch.
            for rows in grouped(self.rows, lambda row: getattr(row.row.backbone, "pass_settings", row.row.backbone)):
                if not any(row.wants(picture.id) for row in rows for picture in pictures):
                    continue
                with _recorded_failures(pictures[0].id, rows, recorded):
                    start = time.perf_counter()
                    backbones = [group[0].row.backbone for group in grouped(rows, lambda row: row.row.backbone)]
                    run_pass = getattr(self.model, "run_pass", None)
                    attention = (
                        run_pass(encoded, backbones) if run_pass else self.model.attend_encoded(encoded, backbones[0])
                    )[: len(pictures)]
                    attended = seconds + (now(_finest(attention[0])) - start) / len(pictures)
                    for picture, maps in zip(pictures, attention, strict=True):
                        self._use(picture, maps, rows, attended)

    def _use(self, picture: DecodedPicture, maps: AttentionMaps, rows: Sequence[RowProgress], seconds: float) -> None:
        """Aggregates, segments and records a picture for the rows of one network.

        Args:
            picture, maps: the picture and its attention, which backbones may read differently.
            rows: rows with the same network.
            seconds: time to compute the attention.
        """
        picture = picture.to(_finest(maps).device)
        for of_backbone in grouped(rows, lambda row: row.row.backbone):
            with _recorded_failures(picture.id, of_backbone, self.recorded):
                project = getattr(self.model, "project", None)
                own = project(maps, of_backbone[0].row.backbone) if project else maps
                wanting = [row for row in of_backbone if row.wants(picture.id)]
                # Aggregate, once for the rows of one aggregation.
                for group in grouped(wanting, lambda row: row.row.aggregation):
                    with _recorded_failures(picture.id, group, self.recorded):
                        start = time.perf_counter()
                        aggregated = group[0].row.aggregation(own)
                        taken = seconds + now(aggregated) - start
                        self._segment(picture, group, aggregated, own.features, taken)

    def _segment(
        self,
        picture: DecodedPicture,
        rows: Sequence[RowProgress],
        aggregated: Tensor,
        features: Tensor | None,
        seconds: float,
    ) -> None:
        """Segments one picture for the rows that share a tensor, and records it. Arguments as in `_use`."""
        wanting = [row for row in rows if row.wants(picture.id)]
        underflow = underflow_fraction(aggregated) if aggregated.numel() else None
        for group in grouped(wanting, lambda row: (row.row.scoring, type(row.row.segmenter))):
            scene = picture.scene(group[0].row.scoring, aggregated, features)
            start = now(aggregated)
            segmented = segment_all(scene, [row.row.segmenter for row in group])
            for row in group:
                with _recorded_failures(picture.id, [row], self.recorded):
                    labels = next(segmented, None)
                    if labels is None:  # an earlier row of this class has failed
                        labels = row.row.segmenter(scene)
                    times = {"attention": seconds, "segment": now(aggregated) - start}
                    array, device = labels.cpu().numpy(), device_name(aggregated.device)
                    row.segmented(picture, scene, array, underflow, device, times)
                start = now(aggregated)


def _finest(maps: AttentionMaps) -> Tensor:
    return maps.maps[maps.sides[0]]


def work_in_halves(
    batch: Sequence[Item], size: int, work: Callable[[Sequence[Item], int, bool], None], errors: Errors
) -> int:
    """Works on a batch; if that fails, on each half of it, and so on.

    If memory runs out, the size of the next tries is halved, too. A single item whose size cannot be halved is tried
    once more. Before the next try, the failed try's exception, tensors and cached blocks are freed.

    Args:
        batch: up to ``size`` items, in order.
        size: number of items for which ``work`` may take memory in the first try.
        work: called with a part of the batch, the number of items for which it may take memory, and True if no other
            try follows: it must then record a failure instead of raising it.
        errors: classes of the errors after which another try is made.

    Returns:
        The size for the next batch: half of ``size``, rounded up, if a try ran out of memory, else ``size``.
    """
    next_size = size
    pending = [(batch, size, False)] if batch else []
    while pending:
        items, room, last_try = pending.pop()
        try:
            with memory_errors():
                work(items, room, last_try)
            continue
        except errors as error:
            lacks_memory = isinstance(error, torch.OutOfMemoryError)
            release(error)
        smaller = room
        if lacks_memory:
            next_size, smaller = (size + 1) // 2, (room + 1) // 2
        if len(items) == 1:
            pending.append((items, smaller, smaller == room))
        else:
            middle = len(items) // 2
            pending += [(items[middle:], smaller, False), (items[:middle], smaller, False)]
    return next_size


@contextmanager
def _recorded_failures(id: str, rows: Iterable[RowProgress], errors: Errors) -> Iterator[None]:
    """Context that records errors as failures of a picture for these rows, and continues after the block."""
    try:
        with memory_errors():
            yield
    except errors as error:
        for row in rows:
            row.fail(id, error)
        release(error)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Context that turns torch's other errors about missing memory into torch.OutOfMemoryError."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or not any(text in str(error) for text in NO_MEMORY):
            raise
        raise torch.OutOfMemoryError(str(error)).with_traceback(error.__traceback__) from None


def release(error: BaseException) -> None:
    """Frees the tensors in the frames of an error and of its causes, and the allocator's cached blocks."""
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is not None:
            traceback.clear_frames(link.__traceback__)
            chain += [link.__cause__, link.__context__]
            link.__cause__ = link.__context__ = None
    gc.collect()  # reference cycles, such as modules with hooks, keep tensors alive, too
    torch.cuda.empty_cache()


def now(tensor: Tensor) -> float:
    """Time in seconds, after waiting for the work queued on the tensor's device."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return time.perf_counter()


@cache
def device_name(device: torch.device) -> str:
    """Name of a device in the records: ``cpu``, or the model of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
