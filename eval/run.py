"""The run loop: decode, encode, attend, aggregate, segment, compare, record.

Each picture passes each backbone once. Rows share attention and aggregated tensors. `eval.memory` explains what happens
if memory runs out. A record holds contingency tables only: `eval.results.tables` computes ACC and mIoU from them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any, TypeVar

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence
from torch import Tensor

from datasets.base import DatasetError
from diffseg.aggregation import underflow_fraction
from diffseg.attention import AttentionError, AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.backbones.device import batch_size_for
from diffseg.backbones.saved import SavedAttention
from diffseg.merging import NoProposals
from diffseg.segmenters.base import UnusablePicture, segment_all
from eval.config import ConfigError, Scoring
from eval.decoding import DecodedPicture, Needs, decoded_ahead
from eval.label_maps import LabelMapError
from eval.memory import Errors, memory_errors, release, work_in_halves
from eval.progress import Progress
from eval.row_progress import RowProgress, now
from eval.shards import Shard

Item = TypeVar("Item")

# The run records these errors as failures of a picture and continues. Any other error is a bug and stops the run.
NOT_SOLVED: Errors = (np.linalg.LinAlgError, torch.linalg.LinAlgError, ArpackNoConvergence)
NOT_MEMORY: Errors = (DatasetError, AttentionError, LabelMapError, NoProposals, UnusablePicture, *NOT_SOLVED)
PICTURE_ERRORS: Errors = (*NOT_MEMORY, torch.OutOfMemoryError)


def evaluate(rows: Sequence[RowProgress], device: str, shard: Shard, batch_size: int | None = None) -> None:
    """Evaluates all pictures without a valid result, for each row.

    Rows with the same data set, frame and encoder share one pass over the pictures. Rows with the same backbone share
    its attention, and rows with the same aggregation share a tensor.

    The backbone computes every batch in one shape: copies of the last picture fill an incomplete batch, and their maps
    are dropped. Libraries choose their kernels by shape, so the counts of a picture depend on the batch size, but not
    on the pictures in its batch: with one batch size, a resumed run, any number of shards and a single run give
    the same counts.

    Args:
        rows: rows of an open run.
        device: as for `diffseg.backbones.Backbone.load`.
        shard: selects the pictures of this process.
        batch_size: pictures that pass a backbone together; None: see `diffseg.backbones.device.batch_size_for`. Halved
            for the rest of the pass if memory runs out.

    Raises:
        WriteError: a record or label map could not be written.
    """
    for shared in grouped(rows, _pass_of):
        _run_pass(shared, device, shard, batch_size)


def _pass_of(progress: RowProgress) -> Any:
    row = progress.row
    return row.dataset, row.scoring.enters, row.backbone.encoder


def _run_pass(rows: Sequence[RowProgress], device: str, shard: Shard, batch_size: int | None) -> None:
    """Passes this process's pictures of a data set through an encoder, for the rows that share both."""
    first = rows[0].row
    share = shard.share(first.dataset.ids)
    left = [id for id in share if any(row.wants(id) or row.compares(id) for row in rows)]
    if not left:
        return
    segmented = any(row.wants(id) for row in rows for id in left)
    try:
        model = first.backbone.load(device) if first.backbone.sides and segmented else None
    except ValueError as error:
        raise ConfigError(f"backbone.{error}") from error
    batch_size = batch_size or batch_size_for(torch.device(device), first.backbone.size)
    batches = _Batches(rows, model)
    decoding = decoded_ahead(first.dataset, left, _needs(rows), ahead=2 * batch_size)
    with Progress(_title(rows, shard), len(share), len(share) - len(left), shown=shard.leads) as bar:
        while batch := list(islice(decoding, batch_size)):
            pictures = _decoded(batch, rows)
            batch_size = work_in_halves(pictures, batch_size, batches.evaluate, PICTURE_ERRORS)
            for _ in batch:
                bar.advance(rows[-1].score())
            if all(row.is_hopeless for row in rows):
                raise ConfigError(
                    f"the first {len(rows[0].errors)} pictures all failed, such as {rows[0].errors[0][1]}"
                )


def _needs(rows: Sequence[RowProgress]) -> Needs:
    """What the rows of a pass need of each picture."""
    first = rows[0].row
    truths: dict[Scoring, frozenset[str]] = {}
    for progress in rows:
        row = progress.row
        truths[row.scoring] = truths.get(row.scoring, frozenset()) | row.truths
    return Needs(first.scoring.enters, first.backbone.size, truths)


def _title(rows: Sequence[RowProgress], shard: Shard) -> str:
    """Title of the progress bar."""
    row = rows[0].row
    title = f"{row.dataset.name}, {row.choices['backbone']}"
    if row.backbone.sides:
        title += f" {row.backbone.size} px"
    if len(rows) > 1:
        title += f", {len(rows)} rows"
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
        rows: rows with the same data set, frame and encoder.
        model: the loaded backbone; None with ``backbone=none``, or if no picture must be segmented.
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
        for picture in pictures:
            self._compare(picture, recorded)
        if self.model is None:
            for picture in pictures:
                _segment(picture, torch.empty(0, 0), None, self.rows, 0.0, recorded)
            return
        if not any(row.wants(picture.id) for row in self.rows for picture in pictures):
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
    """What a pass of the network depends on; a backbone outside this project may not say so."""
    return getattr(backbone, "pass_settings", backbone)


def _attend(model: Any, encoded: Tensor, backbones: Sequence[Any]) -> list[AttentionMaps]:
    """Attention of a batch, for backbones that share a pass."""
    if hasattr(model, "run_pass"):
        return model.run_pass(encoded, [alike[0] for alike in grouped(backbones, lambda each: each)])
    return model.attend_encoded(encoded, backbones[0])


def _filled_batch(pictures: Sequence[DecodedPicture], size: int) -> Tensor:
    """The images of a batch ``(size, 3, P, P)``. Copies of the last one fill it, so that all batches have one shape."""
    return torch.stack([picture.image for picture in (*pictures, *repeat(pictures[-1], size - len(pictures)))])


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
                row.segmented(picture, labels, underflow, aggregated.device, taken)
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
