"""The run loop: decode, encode, attend, aggregate, segment, compare, record.

Each picture passes each backbone once. Rows share attention and aggregated tensors (`eval.batches`). Rows that read
label maps from files need no tensor, and no torch is imported for them. A record holds contingency tables only:
`eval.results.tables` computes ACC and mIoU from them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from datasets.base import DatasetError
from diffseg.segmenters.base import UnusablePicture
from eval.config import ConfigError, Scoring
from eval.decoding import DecodedPicture, Needs, decoded_ahead
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
        WriteError: a record or label map could not be written.
        WorkerError: a worker has ended before its work was done.
    """
    passes = [(shared, unfinished(shared, shard)) for shared in passes_of(rows)]
    if workers > 1 and any(left for _, left in passes):
        from eval.workers import divide

        divide(passes, batch_size, workers, lambda number: _bar(passes[number], shard))
        return
    for shared, left in passes:
        if left:
            with _bar((shared, left), shard) as bar:
                for _ in work(shared, left, device, batch_size):
                    count(shared, bar)


def count(rows: Sequence[RowProgress], bar: Progress) -> None:
    """Counts a finished picture of a pass.

    Raises:
        ConfigError: nothing but failures: something is wrong that is not in the pictures.
    """
    bar.advance(rows[-1].score())
    if all(row.is_hopeless for row in rows):
        raise ConfigError(f"the first {len(rows[0].errors)} pictures all failed, such as {rows[0].errors[0][1]}")


def passes_of(rows: Sequence[RowProgress]) -> list[list[RowProgress]]:
    """Groups rows that share a pass over the pictures: those with the same data set, frame and encoder."""
    return grouped(rows, lambda each: (each.row.dataset, each.row.scoring.enters, each.row.backbone.encoder))


def unfinished(rows: Sequence[RowProgress], shard: Shard) -> list[str]:
    """The pictures of this process that a row of a pass lacks."""
    share = shard.share(rows[0].row.dataset.ids)
    return [id for id in share if any(row.wants(id) or row.compares(id) for row in rows)]


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
    if all(row.row.reads_maps for row in rows):
        for id, future in decoded_ahead(rows[0].row.dataset, ids, needs_of(rows), ahead=int(ahead)):
            _read_maps(id, future, rows)
            yield id
        return
    from eval.batches import work_in_batches  # imports torch

    yield from work_in_batches(rows, ids, device, batch_size, ahead)


def _read_maps(id: str, future: Future[DecodedPicture], rows: Sequence[RowProgress]) -> None:
    """Scores the label maps of a picture, for rows that read them from files."""
    try:
        picture = future.result()
    except READING_ERRORS as error:
        for row in rows:
            row.fail(id, error)
        return
    for row in rows:
        try:
            if row.compares(id):
                row.compared(picture)
            elif row.wants(id):
                start = time.perf_counter()
                outline = picture.outline(row.row.scoring)
                labels = row.row.segmenter.labels(outline)  # type: ignore[attr-defined]  # see RowConfig.reads_maps
                seconds = {"attention": 0.0, "segment": time.perf_counter() - start}
                row.note(picture, outline)
                row.segmented(picture, labels, None, "cpu", seconds)
        except READING_ERRORS as error:
            row.fail(id, error)


def needs_of(rows: Sequence[RowProgress]) -> Needs:
    """The truths and the input that the rows of a pass need."""
    first = rows[0].row
    truths: dict[Scoring, frozenset[str]] = {}
    for progress in rows:
        row = progress.row
        truths[row.scoring] = truths.get(row.scoring, frozenset()) | row.truths
    image = not all(row.row.reads_maps for row in rows)
    return Needs(first.scoring.enters, first.backbone.size, truths, image)


def _bar(of_pass: tuple[Sequence[RowProgress], Sequence[str]], shard: Shard) -> Progress:
    """The progress bar of a pass."""
    rows, left = of_pass
    share = shard.share(rows[0].row.dataset.ids)
    return Progress(_title(rows, shard), len(share), len(share) - len(left), shown=shard.leads)


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
