"""The run loop: decode, encode, attend, aggregate, segment, record.

Each picture passes each backbone once. Rows share attention and aggregated tensors, even if they belong to different
jobs of a sweep. `eval.memory` explains what happens if memory runs out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence
from torch import Tensor

from datasets.base import Dataset, DatasetError
from diffseg.aggregation import Aggregation, underflow_fraction
from diffseg.attention import AttentionError, AttentionMaps
from diffseg.backbones import AttentionModel, Backbone
from diffseg.backbones.device import batch_size_for
from diffseg.backbones.saved import SavedAttention
from diffseg.merging import NoProposals
from diffseg.segmenters.base import SEGMENTERS, UnusablePicture
from eval.config import ConfigError
from eval.decoding import DecodedPicture, decoded_ahead
from eval.memory import Errors, memory_errors, release, work_in_halves
from eval.progress import Progress
from eval.row_progress import Job, RowProgress, now, progress_of
from eval.rows import Row
from eval.shards import Shard
from eval.storage.records import RecordFile

Item = TypeVar("Item")

# The run records these errors as failures of a picture and continues. Any other error is a bug and stops the run.
NOT_SOLVED: Errors = (np.linalg.LinAlgError, torch.linalg.LinAlgError, ArpackNoConvergence)
NOT_MEMORY: Errors = (DatasetError, AttentionError, NoProposals, UnusablePicture, *NOT_SOLVED)
PICTURE_ERRORS: Errors = (*NOT_MEMORY, torch.OutOfMemoryError)


def run(
    jobs: Sequence[Job],
    records: RecordFile,
    folder: Path,
    device: str,
    shard: Shard,
    batch_size: int | None = None,
) -> None:
    """Evaluates all pictures without a valid result, for each row.

    Rows with the same data set and encoder share one pass over the pictures. Rows with the same backbone share its
    attention, and rows with the same aggregation share a tensor, in all jobs.

    The backbone computes every batch in one shape: copies of the last picture fill an incomplete batch, and their maps
    are dropped. Libraries choose their kernels by shape, so the counts of a picture depend on the batch size, but not
    on the pictures in its batch: with one batch size, a resumed run, any number of shards and a single run give
    the same counts.

    Args:
        jobs: one for a run, several for a sweep.
        records: open.
        folder: folder of the label maps, see `eval.storage.layout.label_path`.
        device: as for `diffseg.backbones.Backbone.load`.
        shard: selects the pictures of this process.
        batch_size: pictures that pass a backbone together; None: see `diffseg.backbones.device.batch_size_for`. Halved
            for the rest of the pass if memory runs out.

    Raises:
        WriteError: a record or label map could not be written.
    """
    for rows in grouped(progress_of(jobs, records, folder), lambda each: _pass_of(each.row)):
        _run_pass(rows, device, shard, batch_size)


def record_order(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Key and id of every record, in the order in which `run` writes them with batches of one picture."""
    return [
        (row.key, id)
        for shared in grouped(rows, _pass_of)
        for id in shared[0].config.dataset.ids
        for attention in grouped(shared, _backbone_of)
        for tensor in grouped(attention, _aggregation_of)
        for row in tensor
    ]


def _pass_of(row: Row) -> tuple[Dataset, Hashable]:
    return row.config.dataset, row.config.backbone.encoder


def _backbone_of(row: Row) -> Backbone:
    return row.config.backbone


def _aggregation_of(row: Row) -> Aggregation:
    return row.aggregation


def _run_pass(rows: Sequence[RowProgress], device: str, shard: Shard, batch_size: int | None) -> None:
    """Passes this process's pictures of a data set through an encoder, for the rows that share both."""
    config = rows[0].row.config
    share = shard.share(config.dataset.ids)
    left = [id for id in share if any(row.wants(id) for row in rows)]
    if not left:
        return
    try:
        model = config.backbone.load(device) if config.backbone.sides else None
    except ValueError as error:
        raise ConfigError(f"backbone.{error}") from error
    batch_size = batch_size or batch_size_for(torch.device(device), config.backbone.size)
    batches = _Batches(rows, model)
    scored = {each.row.config.size for each in rows}
    decoding = decoded_ahead(config.dataset, left, config.backbone.size, scored, ahead=2 * batch_size)
    with Progress(_title(rows, shard), len(share), len(share) - len(left), shown=shard.leads) as bar:
        while batch := list(islice(decoding, batch_size)):
            pictures = _decoded(batch, rows)
            batch_size = work_in_halves(pictures, batch_size, batches.evaluate, PICTURE_ERRORS)
            for _ in batch:
                bar.advance(rows[-1].score())


def _title(rows: Sequence[RowProgress], shard: Shard) -> str:
    """Title of the progress bar."""
    config = rows[0].row.config
    title = f"{config.dataset.name}, {config.choices['backbone']} {config.size} px"
    if (jobs := len({id(job) for row in rows for job in row.jobs})) > 1:
        title += f", {jobs} jobs"
    if shard.count > 1:
        title += f", share {shard.index + 1} of {shard.count}"
    return title


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
        rows: rows with the same data set and encoder.
        model: the loaded backbone; None with ``backbone=none``.
    """

    rows: Sequence[RowProgress]
    model: AttentionModel | None

    def evaluate(self, pictures: Sequence[DecodedPicture], size: int, last_try: bool) -> None:
        """Evaluates decoded pictures for all rows. Skips valid results.

        Args:
            pictures: a batch of up to ``size`` pictures.
            size: number of images that pass the backbone, see `_filled_batch`.
            last_try: True records all failures of a single picture. False raises failures of a batch of several
                pictures, and running out of memory, so that the caller tries smaller parts.
        """
        recorded = PICTURE_ERRORS if last_try else NOT_MEMORY
        if self.model is None:
            for picture in pictures:
                _segment_without_attention(picture, self.rows, recorded)
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
            for rows in grouped(self.rows, lambda each: _backbone_of(each.row)):
                # Attend, once for the rows of one backbone. Unwanted pictures stay, to keep the shape of the batch.
                if not any(row.wants(picture.id) for row in rows for picture in pictures):
                    continue
                with _recorded_failures(first, rows, of_batch):
                    start = time.perf_counter()
                    attention = self.model.attend_encoded(encoded, rows[0].row.config.backbone)[: len(pictures)]
                    finest = attention[0].maps[attention[0].sides[0]]
                    attended = seconds + (now(finest) - start) / len(pictures)
                    for picture, maps in zip(pictures, attention, strict=True):
                        _segment(picture.to(finest.device), maps, rows, attended, recorded)

    def _read(self, model: SavedAttention, picture: DecodedPicture, recorded: Errors) -> None:
        """Evaluates one picture with the attention in its file."""
        for rows in grouped(self.rows, lambda each: _backbone_of(each.row)):
            if any(row.wants(picture.id) for row in rows):
                with _recorded_failures(picture.id, rows, recorded):
                    start = time.perf_counter()
                    maps = model.attend_file(picture.id, picture.shape)
                    maps = model.project(maps, rows[0].row.config.backbone)
                    finest = maps.maps[maps.sides[0]]
                    _segment(picture.to(finest.device), maps, rows, now(finest) - start, recorded)


def _filled_batch(pictures: Sequence[DecodedPicture], size: int) -> Tensor:
    """The images of a batch ``(size, 3, P, P)``. Copies of the last one fill it, so that all batches have one shape."""
    return torch.stack([picture.image for picture in (*pictures, *repeat(pictures[-1], size - len(pictures)))])


def _segment(
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
    for alike in grouped(wanting, lambda each: _aggregation_of(each.row)):
        with _recorded_failures(picture.id, alike, recorded):
            # Aggregate, once for the rows of one aggregation.
            start = time.perf_counter()
            aggregated = alike[0].row.aggregation(maps)
            taken = seconds + now(aggregated) - start
            underflow = underflow_fraction(aggregated)
            shared: dict[str, Any] = {SEGMENTERS: [each.row.segmenter for each in alike]}
            for row in alike:
                # Segment and record.
                with _recorded_failures(picture.id, [row], recorded):
                    row.evaluate(picture, aggregated, maps.features, shared, underflow, taken)


def _segment_without_attention(picture: DecodedPicture, rows: Sequence[RowProgress], recorded: Errors) -> None:
    """Segments and records one picture with ``backbone=none``. Arguments as in `_segment`."""
    shared: dict[str, Any] = {}
    for row in rows:
        if row.wants(picture.id):
            with _recorded_failures(picture.id, [row], recorded):
                row.evaluate(picture, torch.empty(0, 0), None, shared, underflow=None, seconds=0.0)


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


def grouped(items: Iterable[Item], key: Callable[[Item], Any]) -> list[list[Item]]:
    """Groups items with equal keys, in the original order. Keys need not be sortable or hashable."""
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
