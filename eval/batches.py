"""Evaluates batches of pictures with a backbone, or with segmenters that read the picture. Imports torch.

`eval.memory` explains what happens if memory runs out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice, repeat
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence
from torch import Tensor

from diffseg.aggregation import underflow_fraction
from diffseg.attention import AttentionError, AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.backbones.device import batch_size_for
from diffseg.backbones.saved import SavedAttention
from diffseg.merging import NoProposals
from diffseg.segmenters.base import segment_all
from eval.config import ConfigError
from eval.decoding import DecodedPicture, decoded_ahead
from eval.memory import Errors, memory_errors, release, work_in_halves
from eval.row_progress import RowProgress
from eval.run import READING_ERRORS, grouped, needs_of

# The run records these errors as failures of a picture and continues. Any other error is a bug and stops the run.
NOT_SOLVED: Errors = (np.linalg.LinAlgError, torch.linalg.LinAlgError, ArpackNoConvergence)
NOT_MEMORY: Errors = (*READING_ERRORS, AttentionError, NoProposals, *NOT_SOLVED)
PICTURE_ERRORS: Errors = (*NOT_MEMORY, torch.OutOfMemoryError)


def work_in_batches(
    rows: Sequence[RowProgress], ids: Iterable[str], device: str, batch_size: int | None, ahead: bool
) -> Iterator[str]:
    """Evaluates pictures for the rows of one pass; see `eval.run.work`."""
    first = rows[0].row
    batch_size = batch_size or batch_size_for(torch.device(device), first.backbone.size)
    batches = _Batches(rows, device)
    decoding = decoded_ahead(first.dataset, ids, needs_of(rows), ahead=2 * batch_size if ahead else 0)
    while batch := list(islice(decoding, batch_size)):
        pictures = _decoded(batch, rows)
        batch_size = work_in_halves(pictures, batch_size, batches.evaluate, PICTURE_ERRORS)
        yield from (id for id, _ in batch)


def _decoded(batch: Iterable[tuple[str, Future[DecodedPicture]]], rows: Sequence[RowProgress]) -> list[DecodedPicture]:
    """The pictures that could be read. Records the others as failed."""
    pictures = []
    for id, future in batch:
        with _recorded_failures(id, rows, PICTURE_ERRORS):
            pictures.append(future.result())
    return pictures


@dataclass(frozen=True)
class _Batches:
    """Evaluates batches of pictures for the rows of one pass.

    Attributes:
        rows: rows with the same data set, frame and encoder.
        device: as for `diffseg.backbones.Backbone.load`.
    """

    rows: Sequence[RowProgress]
    device: str

    @cached_property
    def model(self) -> AttentionModel:
        """The backbone, loaded when the first picture needs it."""
        try:
            return self.rows[0].row.backbone.load(self.device)
        except ValueError as error:
            raise ConfigError(f"backbone.{error}") from error

    def evaluate(self, pictures: Sequence[DecodedPicture], size: int, last_try: bool) -> None:
        """Evaluates decoded pictures for all rows. Skips valid results.

        Args:
            pictures: a batch of up to ``size`` pictures.
            size: number of images that pass the backbone, see `_filled_batch`.
            last_try: True records all failures of a single picture. False raises failures of a batch of several
                pictures, and running out of memory, so that the caller tries smaller parts.
        """
        recorded = PICTURE_ERRORS if last_try else NOT_MEMORY
        for picture in pictures:
            self._compare(picture, recorded)
        if not any(row.wants(picture.id) for row in self.rows for picture in pictures):
            return
        if not self.rows[0].row.backbone.sides:
            for picture in pictures:
                _segment(picture, torch.empty(0, 0), None, self.rows, 0.0, recorded)
            return
        if isinstance(self.model, SavedAttention):
            for picture in pictures:
                self._read(self.model, picture, recorded)
            return
        of_batch = recorded if len(pictures) == 1 else ()
        first = pictures[0].id  # failures of the batch are recorded only if this is its only picture
        with _recorded_failures(first, self.rows, of_batch):
            # Encode all pictures, once for all rows.
            start = time.perf_counter()
            encoded = self.model.encode(_filled_batch(pictures, size))
            seconds = (now(encoded) - start) / len(pictures)
            for rows in grouped(self.rows, lambda each: _network_of(each.row.backbone)):
                # Attend, once for the rows of one network. Unwanted pictures stay, to keep the shape of the batch.
                if not any(row.wants(picture.id) for row in rows for picture in pictures):
                    continue
                with _recorded_failures(first, rows, of_batch):
                    start = time.perf_counter()
                    attention = _attend(self.model, encoded, [row.row.backbone for row in rows])[: len(pictures)]
                    finest = attention[0].maps[attention[0].sides[0]]
                    attended = seconds + (now(finest) - start) / len(pictures)
                    for picture, maps in zip(pictures, attention, strict=True):
                        self._project(picture.to(finest.device), maps, rows, attended, recorded)

    def _project(
        self,
        picture: DecodedPicture,
        maps: AttentionMaps,
        rows: Sequence[RowProgress],
        seconds: float,
        recorded: Errors,
    ) -> None:
        """Evaluates a picture for the rows of one network, whose backbones may read its attention differently."""
        for alike in grouped(rows, lambda each: each.row.backbone):
            with _recorded_failures(picture.id, alike, recorded):
                project = getattr(self.model, "project", None)
                own = project(maps, alike[0].row.backbone) if project else maps
                _aggregate(picture, own, alike, seconds, recorded)

    def _compare(self, picture: DecodedPicture, recorded: Errors) -> None:
        """Compares kept label maps with the truth of a new protocol."""
        for row in self.rows:
            if row.compares(picture.id):
                with _recorded_failures(picture.id, [row], recorded):
                    row.compared(picture)

    def _read(self, model: SavedAttention, picture: DecodedPicture, recorded: Errors) -> None:
        """Evaluates one picture with the attention in its file."""
        if any(row.wants(picture.id) for row in self.rows):
            with _recorded_failures(picture.id, self.rows, recorded):
                start = time.perf_counter()
                maps = model.attend_file(picture.id, picture.shape)
                finest = maps.maps[maps.sides[0]]
                self._project(picture.to(finest.device), maps, self.rows, now(finest) - start, recorded)


def _network_of(backbone: Any) -> Any:
    """The settings on which a pass of the network depends; all of them for a backbone that does not say so."""
    return getattr(backbone, "pass_settings", backbone)


def _attend(model: Any, encoded: Tensor, backbones: Sequence[Any]) -> list[AttentionMaps]:
    """Attention of a batch, for backbones that share a pass."""
    if hasattr(model, "run_pass"):
        return model.run_pass(encoded, [alike[0] for alike in grouped(backbones, lambda each: each)])
    return model.attend_encoded(encoded, backbones[0])


def _filled_batch(pictures: Sequence[DecodedPicture], size: int) -> Tensor:
    """The images of a batch ``(size, 3, P, P)``. Copies of the last one fill it, so that all batches have one shape."""
    images = [picture.image for picture in pictures if picture.image is not None]
    return torch.stack([*images, *repeat(images[-1], size - len(images))])


def _aggregate(
    picture: DecodedPicture, maps: AttentionMaps, rows: Sequence[RowProgress], seconds: float, recorded: Errors
) -> None:
    """Aggregates, segments and records one picture for the rows of one backbone.

    Args:
        picture, maps: the picture and its attention.
        rows: rows with the same backbone.
        seconds: time to compute the attention.
        recorded: errors that are recorded as failures of the picture. Other errors are raised.
    """
    wanting = [row for row in rows if row.wants(picture.id)]
    for alike in grouped(wanting, lambda each: each.row.aggregation):
        with _recorded_failures(picture.id, alike, recorded):
            # Aggregate, once for the rows of one aggregation.
            start = time.perf_counter()
            aggregated = alike[0].row.aggregation(maps)
            _segment(picture, aggregated, maps.features, alike, seconds + now(aggregated) - start, recorded)


def _segment(
    picture: DecodedPicture,
    aggregated: Tensor,
    features: Tensor | None,
    rows: Sequence[RowProgress],
    seconds: float,
    recorded: Errors,
) -> None:
    """Segments one picture for the rows that share a tensor, and records it. Arguments as in `_aggregate`."""
    wanting = [row for row in rows if row.wants(picture.id)]
    underflow = underflow_fraction(aggregated) if aggregated.numel() else None
    for alike in grouped(wanting, lambda each: (each.row.scoring, type(each.row.segmenter))):
        scene = picture.scene(alike[0].row.scoring, aggregated, features)
        start = now(aggregated)
        segmented = segment_all(scene, [row.row.segmenter for row in alike])
        for row in alike:
            with _recorded_failures(picture.id, [row], recorded):
                labels = next(segmented, None)
                if labels is None:  # an earlier row of this class has failed
                    labels = row.row.segmenter(scene)
                row.note(picture, scene)
                taken = {"attention": seconds, "segment": now(aggregated) - start}
                row.segmented(picture, labels.cpu().numpy(), underflow, device_name(aggregated.device), taken)
            start = now(aggregated)


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


def now(tensor: Tensor) -> float:
    """Time in seconds, after waiting for the work queued on the tensor's device."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return time.perf_counter()


@cache
def device_name(device: torch.device) -> str:
    """Name of a device in the records: ``cpu``, or the model of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
