"""Computes counts and confusion matrices of a data set from the contingency tables of its images.

The protocols ``official`` and ``present`` match segments with classes in each image. ``dataset`` and ``dataset_all``
match once for all images: segments with the same number count as one, so a number must mean the same in every image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from eval.matching import Counts, IntArray, checked_pairs, confusion_of_match, counts_of_match
from eval.matching import matched_pairs as matched_in_image
from eval.protocols import ALL_PROTOCOLS, ProtocolName, imported_protocol, within_image
from eval.records import SparseTable
from eval.set_protocols import match_dataset, match_dataset_all

MOST_NUMBERS = 4096
"""If a label number of a data set is at least this, numbers that do not occur have no column."""


def matched_images(
    tables: Sequence[SparseTable], protocol: ProtocolName, background: int | None = None, renumbered: bool = False
) -> Iterator[tuple[IntArray, IntArray, IntArray, IntArray]]:
    """Yields for each image its table, the classes and segments of its matched pairs, and the pixels in no segment.

    Args:
        tables: tables of all images of the data set.
        protocol: see the top of this module; `eval.matching` has the rules.
        background: the class that may match many segments; None: no such class.
        renumbered: True if ``official`` must not read the numbers of the segments, because they come from files: it
            numbers them 0..k-1 in the order of their numbers.
    """
    if within_image(protocol):
        for table in tables:
            dense = _for_image(table, protocol, renumbered)
            yield dense, *matched_in_image(dense, protocol, background), table.missed
        return
    if not tables:
        return
    numbers = _numbers_of_set(tables)
    rows, columns = _match_of_set(tables, numbers, protocol, background)
    for table in tables:
        own = table.numbers[table.numbers >= 0]
        place = np.searchsorted(own, numbers[columns])
        there = place < len(own)
        there[there] = own[place[there]] == numbers[columns][there]
        yield table.dense(), rows[there], place[there], table.missed


def _for_image(table: SparseTable, protocol: ProtocolName, renumbered: bool) -> IntArray:
    """The table as a protocol within the image reads it; ``official`` needs at least as many columns as rows."""
    if protocol == "present":
        return table.dense()
    if not renumbered:
        return table.numbered()
    dense = table.dense()
    return np.pad(dense, ((0, 0), (0, max(0, table.classes - dense.shape[1]))))


def _numbers_of_set(tables: Sequence[SparseTable]) -> IntArray:
    """Label numbers of the columns of all images: every number up to the largest, or if that is large, those there."""
    numbers = np.unique(np.concatenate([table.numbers for table in tables]))
    numbers = numbers[numbers >= 0]
    # Between equally good matches the solver decides by position, so gaps count as in other codes.
    few = len(numbers) and numbers[-1] < MOST_NUMBERS
    return np.arange(max(numbers[-1] + 1, tables[0].classes)) if few else numbers


def _match_of_set(
    tables: Sequence[SparseTable], numbers: IntArray, protocol: ProtocolName, background: int | None
) -> tuple[IntArray, IntArray]:
    """The match of all images: classes, and indices of their label numbers in ``numbers``."""
    if protocol in ALL_PROTOCOLS:
        match = match_dataset if protocol == "dataset" else match_dataset_all
        return match([sum_of_tables(tables, numbers)], background)
    each = [sum_of_tables([table], numbers) for table in tables]
    return checked_pairs(each[0], protocol, *imported_protocol(protocol)(each, background))


def count_images(
    tables: Sequence[SparseTable], protocol: ProtocolName, background: int | None = None, renumbered: bool = False
) -> list[Counts]:
    """Counts of each image under one protocol; arguments as in `matched_images`.

    The score of a set of images, such as a resample, comes from the sum of their counts. If a protocol matches once for
    all images, the match is that of all images, not only of the set.
    """
    return list(counts_in_turn(tables, protocol, background, renumbered))


def counts_in_turn(
    tables: Sequence[SparseTable], protocol: ProtocolName, background: int | None = None, renumbered: bool = False
) -> Iterator[Counts]:
    """Yields what `count_images` returns."""
    for table, rows, columns, missed in matched_images(tables, protocol, background, renumbered):
        yield counts_of_match(table, rows, columns, missed)


def confusion_matrix(
    tables: Sequence[SparseTable], protocol: ProtocolName, background: int | None = None, renumbered: bool = False
) -> IntArray:
    """Pixels of all images by true class and matched class; arguments as in `matched_images`, at least one table.

    Returns:
        ``(n_classes, n_classes + 1)`` int64, see `eval.matching.confusion_of_match`.
    """
    classes = tables[0].classes
    matrix = np.zeros((classes, classes + 1), dtype=np.int64)
    for table, rows, columns, missed in matched_images(tables, protocol, background, renumbered):
        matrix += confusion_of_match(table, rows, columns)
        matrix[:, -1] += missed
    return matrix


def sum_of_tables(tables: Sequence[SparseTable], numbers: IntArray) -> IntArray:
    """Sum of one or more tables, ``(n_classes, len(numbers))`` int64.

    Args:
        tables: the tables.
        numbers: sorted label numbers of the columns; all that occur in the tables.
    """
    total = np.zeros((tables[0].classes, len(numbers)), dtype=np.int64)
    for table in tables:
        total[:, np.searchsorted(numbers, table.numbers[table.numbers >= 0])] += table.dense()
    return total
