"""The run loop: decode, encode, attend, aggregate, segment, compare, record.

Each picture passes each backbone once. Rows share attention and aggregated tensors (`eval.batches`). Rows that read
label maps from files need no tensor, and no torch is imported for them. A record holds contingency tables only:
`eval.results.tables` computes ACC and mIoU from them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from datasets.base import DatasetError
from diffseg.segmenters.base import UnusablePicture
from eval.config import ConfigError, Scoring
from eval.decoding import DecodedPicture, decoded_ahead
from eval.label_maps import LabelMapError
from eval.progress import Progress
from eval.row_progress import RowProgress
from eval.shards import Shard

Item = TypeVar("Item")

READING_ERRORS = (DatasetError, LabelMapError, UnusablePicture)
"""Errors of a picture or label map, which the run records as failures. Any other error is a bug and stops the run."""


def evaluate(
    rows: Sequence[RowProgress], device: str, shard: Shard, batch_size: int | None = None, workers: int = 1
) -> None:
    """Evaluates all pictures without a valid result, for each row.

    Rows with the same data set, frame and encoder share one pass over the pictures. Rows with the same backbone share
    its attention, and rows with the same aggregation share a tensor.

    The backbone computes every batch in one shape: copies of the last picture fill an incomplete batch, and their maps
    are dropped. Libraries choose their kernels by shape, so the counts of a picture depend on the batch size, but not
    on the pictures in its batch: with one batch size, a resumed run, any number of shards or workers and a single run
    give the same counts.

    Args:
        rows: rows of an open run.
        device: as for `diffseg.backbones.Backbone.load`.
        shard: selects the pictures of this process.
        batch_size: pictures that pass a backbone together; None: see `diffseg.backbones.device.batch_size_for`. Halved
            for the rest of the pass if memory runs out.
        workers: processes that share the pictures (`eval.workers`); 1: this process evaluates them.

    Raises:
        ConfigError: nothing but failures: something is wrong that is not in the pictures.
        WriteError: a record or label map could not be written.
        WorkerError: a worker has ended before its work was done.
    """
    groups = grouped(
        rows, lambda progress: (progress.row.dataset, progress.row.scoring.enters, progress.row.backbone.encoder)
    )
    passes = [current for current in (Pass(group, shard) for group in groups) if current.left]
    if workers > 1 and passes:
        from eval.workers import divide

        divide(passes, batch_size, workers)
        return
    for current in passes:
        with current.bar:
            for _ in work(current.rows, current.left, device, batch_size):
                current.count()


@dataclass(frozen=True)
class Pass:
    """A pass over the pictures of this process, for the rows that share it."""

    rows: Sequence[RowProgress]
    shard: Shard

    @cached_property
    def left(self) -> list[str]:
        """The pictures that a row lacks."""
        share = self.shard.share(self.rows[0].row.dataset.ids)
        return [id for id in share if any(row.wants(id) or row.compares(id) for row in self.rows)]

    @cached_property
    def bar(self) -> Progress:
        """The progress bar, which starts when this is read first."""
        row, shard = self.rows[0].row, self.shard
        title = f"{row.dataset.name}, {row.choices['backbone']}"
        if row.backbone.sides:
            title += f" {row.backbone.size} px"
        if len(self.rows) > 1:
            title += f", {len(self.rows)} rows"
        if shard.count > 1:
            title += f", share {shard.index + 1} of {shard.count}"
        total = len(shard.share(row.dataset.ids))
        return Progress(title, total, total - len(self.left), shown=shard.leads)

    def count(self) -> None:
        """Counts a finished picture. Raises ConfigError if there is nothing but failures."""
        self.bar.advance(self.rows[-1].score)
        if all(row.is_hopeless for row in self.rows):
            errors = list(self.rows[0].failed.values())
            raise ConfigError(f"the first {len(errors)} pictures all failed, such as {errors[0][1]}")


def work(
    rows: Sequence[RowProgress], ids: Iterable[str], device: str, batch_size: int | None, ahead: bool = True
) -> Iterator[str]:
    """Evaluates pictures for the rows of one pass.

    Args:
        rows: rows with the same data set, frame and encoder.
        ids: the pictures.
        device, batch_size: see `evaluate`.
        ahead: decode the next pictures in further threads.

    Yields:
        Each id, when its results are recorded for all rows.
    """
    truths: dict[Scoring, frozenset[str]] = {}
    for row in (progress.row for progress in rows):
        truths[row.scoring] = truths.get(row.scoring, frozenset()) | row.truths
    if all(progress.row.reads_maps for progress in rows):
        for id, future in decoded_ahead(rows[0].row.dataset, ids, truths, None, ahead=int(ahead)):
            _read_maps(id, future, rows)
            yield id
        return
    from eval.batches import work_in_batches  # imports torch

    yield from work_in_batches(rows, ids, truths, device, batch_size, ahead)


def _read_maps(id: str, future: Future[DecodedPicture], rows: Sequence[RowProgress]) -> None:
    """Scores the label maps of a picture, for rows that read them from files."""
    for row in rows:
        try:
            picture = future.result()
            if row.compares(id):
                row.compared(picture)
            elif row.wants(id):
                start = time.perf_counter()
                outline = picture.outline(row.row.scoring)
                labels = row.row.segmenter.labels(outline)  # type: ignore[attr-defined]  # see RowConfig.reads_maps
                seconds = {"attention": 0.0, "segment": time.perf_counter() - start}
                row.segmented(picture, outline, labels, None, "cpu", seconds)
        except READING_ERRORS as error:
            row.fail(id, error)


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
