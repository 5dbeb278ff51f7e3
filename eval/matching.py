"""Matches segments with the classes of the ground truth, and counts the pixels of each class (`eval.counts`).

The protocols ``official`` and ``present`` match within each image. ``dataset`` and ``dataset_all`` add the tables of
all images and match once: segments with the same number count as one, so a number must mean the same in every image. If
a data set has a background class, such as PASCAL VOC, the background may match many segments. All protocols are
computed from the contingency tables of the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from eval.contingency import Block, IntArray, add_up, blocks
from eval.counts import UNMATCHED, Counts, ImageCounts
from eval.protocols import ALL_PROTOCOLS, ProtocolName, imported_protocol, within_image
from eval.records import SparseTable

if TYPE_CHECKING:  # reading results imports this module, and must not import torch
    from torch import Tensor

    ArrayOrTensor = NDArray[np.integer] | Tensor

MOST_NUMBERS = 4096
"""If a label number of a data set is at least this, numbers that do not occur have no column."""


def match(
    prediction: ArrayOrTensor,
    truth: ArrayOrTensor,
    n_classes: int = 27,
    protocol: ProtocolName = "official",
    background: int | None = None,
) -> Counts:
    """Counts the pixels of one image after matching its segments with the classes.

    Args:
        prediction: segment of each pixel, an array or a tensor of integers >= 0 of any shape; gaps in the numbering are
            allowed.
        truth: class of each pixel, integers of the same shape; values outside ``0..n_classes-1`` are void.
        n_classes: number of classes (27 in COCO-Stuff-27 and in Cityscapes).
        protocol: ``official`` or ``present``, see `match_contingency`.
        background: the class that may match many segments; None: no such class.

    Returns:
        TP, FP and FN of each class, and the labelled pixels, see `match_contingency`.

    Raises:
        ValueError: the shapes differ, an array does not contain integers, a segment has a negative number, the
            protocol is unknown, or the background is not a class.
    """
    return match_contingency(contingency(prediction, truth, n_classes), protocol, background)


def contingency(prediction: ArrayOrTensor, truth: ArrayOrTensor, n_classes: int = 27) -> IntArray:
    """Counts the pixels of each class in each segment, without void pixels. Arguments and errors as in `match`.

    Returns:
        ``(n_classes, K)`` int64, ``K = max(n_classes, largest segment number + 1)``. As in the authors' code,
        a segment with only void pixels counts towards ``K``.
    """
    segments, classes = _as_labels("prediction", prediction), _as_labels("truth", truth)
    if segments.shape != classes.shape:
        raise ValueError(f"prediction: must have the shape of truth, {classes.shape}, got {segments.shape}")
    if (lowest := int(segments.min(initial=0))) < 0:
        raise ValueError(f"prediction: segments are numbered from 0, got {lowest}")
    return SparseTable.count(segments, classes, n_classes).numbered()


def match_contingency(table: IntArray, protocol: ProtocolName = "official", background: int | None = None) -> Counts:
    """Matches the rows (classes) of a contingency table with its columns (segments) so that the most pixels agree.

    ``TP_c`` is the number of pixels of class c in its segment (of the background: in its segments), ``FN_c`` the rest
    of the row, ``FP_c`` the rest of the column. A segment matched with no class adds only to FN.

    Args:
        table: contingency table, from `contingency`.
        protocol: ``official`` scores like the authors: all classes take part. A class absent from the image may be
            matched with a leftover segment, whose pixels then count as its FP. The numbering of the segments decides
            which segment that is. ``present``: only classes in the image take part, pairs without overlap are no
            match, and the numbering does not matter. Without a background, both have the same sum of TP, and so the
            same accuracy.
        background: the class that may match many segments, see `match_official` and `match_present`.

    Raises:
        ValueError: the protocol is unknown, or the background is not a class.
    """
    try:
        if not within_image(protocol):
            raise ValueError(f"{protocol} does not match within one image, see `count_images`")
    except ValueError as error:
        raise ValueError(f"protocol: {error}") from None
    return count_images([SparseTable.of(table)], protocol, background)[0]


def count_images(
    tables: Sequence[SparseTable],
    protocol: ProtocolName,
    background: int | None = None,
    renumbered: bool = False,
    n_classes: int | None = None,
) -> ImageCounts:
    """Counts of each image under one protocol.

    The score of a set of images, such as a resample, comes from the sum of their counts. If a protocol matches once for
    all images, the match is that of all images, not only of the set.

    Args:
        tables: tables of all images of the data set.
        protocol: see the top of this module.
        background: the class that may match many segments; None: no such class.
        renumbered: True if ``official`` must not read the numbers of the segments, because they come from files: it
            numbers them 0..k-1 in the order of their numbers.
        n_classes: number of classes; None: that of the tables, of which there is at least one.

    Raises:
        ValueError: the protocol is unknown, or the background is not a class.
    """
    classes = tables[0].classes if n_classes is None else n_classes
    if background is not None and not 0 <= background < classes:
        raise ValueError(f"background: must be a class, 0..{classes - 1}, or None, got {background}")
    counts = ImageCounts(len(tables), classes)
    of_set = None if within_image(protocol) or not tables else _match_set(tables, protocol, background)
    start = 0
    for block in blocks(tables):
        if of_set is None:
            class_of = _match_images(block, protocol, background, renumbered)
        else:
            numbers, class_of_number = of_set
            place = np.searchsorted(numbers, block.number)
            class_of = class_of_number[np.where(block.number < 0, UNMATCHED, place)]
        counts.add(start, block, class_of)
        start += len(block.tables)
    return counts


def _match_images(block: Block, protocol: ProtocolName, background: int | None, renumbered: bool) -> IntArray:
    """Class of each segment of several images, or `UNMATCHED`, ``(segments,)``."""
    if protocol == "present":
        return _match_present(block, background)
    place = block.places() if renumbered else block.number
    # The dense tables stand side by side, each at least as wide as it has classes.
    width = np.full(len(block.tables), block.tables[0].classes)
    np.maximum.at(width, block.table_of_segment, place + 1)
    ends = np.cumsum(width)
    column = np.where(place < 0, ends[-1], (ends - width)[block.table_of_segment] + place)
    dense = np.zeros((block.tables[0].classes, ends[-1] + 1), dtype=np.int64)
    dense[block.row, column[block.segment]] = block.pixels
    class_of = np.full(ends[-1] + 1, UNMATCHED)
    for start, end in zip((ends - width).tolist(), ends.tolist(), strict=True):
        table = dense[:, start:end]
        if protocol == "official":
            rows, columns = match_official(table, background)
        else:
            rows, columns = _checked_pairs(table, protocol, *imported_protocol(protocol)(table, background))
        class_of[start + columns] = rows
    return class_of[column]


def _match_present(block: Block, background: int | None) -> IntArray:
    """Class of each segment under ``present``, or `UNMATCHED`, see `match_present`."""
    tables, classes = len(block.tables), block.tables[0].classes
    dense = np.zeros((classes, len(block.number)), dtype=np.int64)
    dense[block.row, block.segment] = block.pixels
    kept = np.flatnonzero((block.number >= 0) & dense.any(axis=0))
    # Between equally good matches the solver decides by position. Sorting the segments of an image by content and
    # dropping empty ones makes the result independent of their numbers: equal segments score alike.
    order = kept[np.lexsort((*dense[::-1, kept], block.table_of_segment[kept]))]
    gain, table = dense[:, order], block.table_of_segment[order]
    present = np.zeros((tables, classes), dtype=bool)
    inside = block.number[block.segment] >= 0
    present[block.table[inside], block.row[inside]] = True
    seen = np.zeros(len(order), dtype=bool)
    if background is not None:
        seen = present[table, background]
        # Gain in agreeing pixels over leaving the segment to the background.
        gain = np.where(seen, np.maximum(gain - gain[background], 0), gain)
    class_of = np.full(len(block.number), UNMATCHED)
    ends = np.searchsorted(table, np.arange(1, tables + 1)).tolist()
    rows_of = np.split(np.nonzero(present)[1], np.cumsum(present.sum(axis=1))[:-1])
    start = 0
    for rows, end in zip(rows_of, ends, strict=True):
        own, columns = assign(gain[rows, start:end])
        class_of[order[start + columns]] = rows[own]
        start = end
    # A pair without gain is no match.
    matched = class_of[order]
    useless = gain[matched, np.arange(len(order))] <= 0
    class_of[order[useless]] = UNMATCHED
    if background is not None:
        class_of[order[seen & (class_of[order] == UNMATCHED)]] = background
    return class_of


def _match_set(
    tables: Sequence[SparseTable], protocol: ProtocolName, background: int | None
) -> tuple[IntArray, IntArray]:
    """The match of all images: label numbers, sorted, and the class of each or `UNMATCHED`; one more at the end."""
    numbers = np.unique(np.concatenate([table.numbers for table in tables]))
    numbers = numbers[numbers >= 0]
    # Between equally good matches the solver decides by position, so gaps count as in other codes.
    if len(numbers) and numbers[-1] < MOST_NUMBERS:
        numbers = np.arange(max(numbers[-1] + 1, tables[0].classes))
    if protocol in ALL_PROTOCOLS:
        total = _sum_of_tables(tables, numbers)
        # A background takes all leftover segments, and leaves nothing for classes that do not occur.
        only_present = protocol == "dataset" or background is not None
        rows, columns = match_present(total, background) if only_present else match_every_class(total)
    else:
        summed = [_sum_of_tables([table], numbers) for table in tables]
        rows, columns = _checked_pairs(summed[0], protocol, *imported_protocol(protocol)(summed, background))
    class_of = np.full(len(numbers) + 1, UNMATCHED)
    class_of[columns] = rows
    return numbers, class_of


def _sum_of_tables(tables: Sequence[SparseTable], numbers: IntArray) -> IntArray:
    """Sum of tables, ``(n_classes, len(numbers))``. ``numbers``: sorted label numbers of the columns."""
    shape = tables[0].classes, len(numbers)
    total = np.zeros(shape, dtype=np.int64)
    for block in blocks(tables):
        number = block.number[block.segment]
        own = number >= 0
        cells = block.row[own] * len(numbers) + np.searchsorted(numbers, number[own])
        total += add_up(cells, block.pixels[own], *shape)
    return total


def _checked_pairs(table: IntArray, protocol: str, rows: Any, columns: Any) -> tuple[IntArray, IntArray]:
    """The pairs that a function outside this project returned. Raises ValueError unless they are a match."""
    rows, columns = np.asarray(rows), np.asarray(columns)
    if rows.ndim != 1 or rows.shape != columns.shape or (len(rows) and {rows.dtype.kind, columns.dtype.kind} - {*"iu"}):
        raise ValueError(f"protocol: {protocol} must return classes and segments, whole numbers (m,) both")
    for name, given, count in (("class", rows, table.shape[0]), ("segment", columns, table.shape[1])):
        if len(wrong := given[(given < 0) | (given >= count)]):
            raise ValueError(f"protocol: {protocol} returned the {name} {wrong[0]}; the table has 0..{count - 1}")
    if len(np.unique(columns)) < len(columns):
        raise ValueError(f"protocol: {protocol} returned a segment in two pairs; each segment has one class at most")
    return rows.astype(np.int64), columns.astype(np.int64)


def assign(table: IntArray) -> tuple[IntArray, IntArray]:
    """The one-to-one match of rows and columns with the largest sum: rows and columns, ``(min of both,)`` each."""
    from scipy.optimize import linear_sum_assignment  # takes a while to import, and `--help` needs no match

    rows, columns = linear_sum_assignment(table, maximize=True)
    return rows, columns


def match_official(table: IntArray, background: int | None = None) -> tuple[IntArray, IntArray]:
    """Matched pairs under ``official``: classes ``(m,)`` and their segments ``(m,)``; no segment twice.

    With a background, matches like DiffCut (arXiv 2406.02842; ``eval_diffcut.py`` of its public code, "Many-to-one
    matching for background"): first all other classes are matched one to one. Then the segments left without a class
    of the image are joined into one segment, and all classes are matched again, one to one. The joined segment may go
    to the background or to another class, whichever agrees best. DiffCut counts void pixels as background; here they
    are left out.

    Args:
        table: ``(n_classes, K)``, ``K >= n_classes``, from `contingency`.
        background: the class that may match many segments; None: no such class.
    """
    if background is None:
        return assign(table)
    # As in DiffCut's code, the background is the last row and the joined segment has the next number: between equally
    # good matches, the solver decides by position.
    classes = np.append(np.delete(np.arange(len(table)), background), background)
    joined = 1 + np.flatnonzero(table.any(axis=0)).max(initial=-1)
    others = table[classes[:-1]]
    _, columns = assign(others)
    kept = columns[others[:, columns].any(axis=1)]
    number = np.full(table.shape[1], joined)
    number[kept] = kept
    renumbered = np.zeros((len(table), max(len(table), joined + 1)), dtype=np.int64)
    np.add.at(renumbered.T, number, table[classes].T)
    rows, columns = assign(renumbered)
    class_of_number = np.full(renumbered.shape[1], UNMATCHED)
    class_of_number[columns] = classes[rows]
    class_of = class_of_number[number]
    matched = np.flatnonzero(class_of != UNMATCHED)
    return class_of[matched], matched


def match_present(table: IntArray, background: int | None = None) -> tuple[IntArray, IntArray]:
    """Matched pairs under ``present``: classes ``(m,)`` of the image and their segments ``(m,)``; no segment twice.

    Without a background, or in an image without background pixels, only overlapping pairs match. With a background,
    each other class may take one segment, and the background takes all the rest. The match is the one with the most
    agreeing pixels; a single assignment finds it.

    Args:
        table: ``(n_classes, K)`` from `contingency`.
        background: the class that may match many segments; None: no such class.
    """
    class_of = _match_present(Block([SparseTable.of(table)]), background)
    columns = np.flatnonzero(class_of != UNMATCHED)
    return class_of[columns], columns


def match_every_class(table: IntArray) -> tuple[IntArray, IntArray]:
    """Matched pairs under ``dataset_all``, as in STEGO's and PiCIE's public codes: all classes take part.

    A class that occurs in no image may take a leftover segment. Its IoU is then 0, where ``dataset`` leaves the class
    out. The sum of TP, and so the accuracy, is that of ``dataset``. For at most as many clusters as classes the scores
    equal STEGO's (commit eb4d6b5), and PiCIE's (commit c3aa029) if a single match is best. More clusters than classes:
    the leftover ones add only to FN; STEGO drops their pixels like void ones.

    Args:
        table: sum of the tables of all images, ``(n_classes, K)``.
    """
    classes, segments = table.shape
    padded = np.zeros((max(classes, segments), classes), dtype=np.int64)
    padded[:segments] = table.T
    # As in STEGO, clusters are the rows: between equally good matches the solver decides by position.
    columns, rows = assign(padded)
    real = columns < segments
    return rows[real], columns[real]


def _as_labels(name: str, labels: ArrayOrTensor) -> IntArray:
    kind = getattr(labels, "dtype", None)
    array = np.asarray(cast(Any, labels).cpu() if hasattr(labels, "cpu") else labels)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name}: must hold integers, got {kind or array.dtype}")
    return array.astype(np.int64)
