"""Matches the segments of one image one to one with the classes of its ground truth.

`eval.scores` matches a whole data set. If a data set has a background class, such as PASCAL VOC, the background may
match many segments. All protocols are computed from the contingency table of the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from eval.protocols import ProtocolName, imported_protocol, within_image
from eval.records import SparseTable

if TYPE_CHECKING:  # reading results imports this module, and must not import torch
    from torch import Tensor

    ArrayOrTensor = NDArray[np.integer] | Tensor

IntArray = NDArray[np.int64]

UNMATCHED = -1
"""Class of a segment that is matched with no class."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Pixel counts of one or many images. They are integers, so they add up exactly in any order.

    Attributes:
        tp, fp, fn: ``(n_classes,)`` int64, true positives, false positives and false negatives of each class.
        labelled: pixels whose ground truth has a class; ``tp.sum() + fn.sum()``.
    """

    tp: IntArray
    fp: IntArray
    fn: IntArray
    labelled: int

    @classmethod
    def zeros(cls, n_classes: int) -> Counts:
        """Counts of 0, the start of a sum."""
        zero = np.zeros(n_classes, dtype=np.int64)
        return cls(zero, zero, zero, 0)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.labelled + other.labelled)

    def __radd__(self, other: Literal[0]) -> Counts:
        """Lets ``sum(counts)`` start from its default, 0."""
        return self if other == 0 else NotImplemented

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and self.to_json() == other.to_json()

    def to_json(self) -> dict[str, Any]:
        """Converts the counts to lists and integers."""
        return {
            "tp": self.tp.tolist(),
            "fp": self.fp.tolist(),
            "fn": self.fn.tolist(),
            "labelled": self.labelled,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Counts:
        """The inverse of `to_json`."""
        tp, fp, fn = (np.array(data[name], dtype=np.int64) for name in ("tp", "fp", "fn"))
        return cls(tp, fp, fn, int(data["labelled"]))


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
    return counts_of_match(table, *matched_pairs(table, protocol, background))


def matched_pairs(table: IntArray, protocol: ProtocolName, background: int | None = None) -> tuple[IntArray, IntArray]:
    """The matched pairs of one image: classes ``(m,)`` and their segments ``(m,)``.

    Arguments and errors as in `match_contingency`.
    """
    if background is not None and not 0 <= background < len(table):
        raise ValueError(f"background: must be a class, 0..{len(table) - 1}, or None, got {background}")
    if protocol == "official":
        return match_official(table, background)
    if protocol == "present":
        return match_present(table, background)
    try:
        if not within_image(protocol):
            raise ValueError(f"{protocol} does not match segments with classes within one image (eval.scores)")
        function = imported_protocol(protocol)
    except ValueError as error:
        raise ValueError(f"protocol: {error}") from None
    return checked_pairs(table, protocol, *function(table, background))


def checked_pairs(table: IntArray, protocol: str, rows: Any, columns: Any) -> tuple[IntArray, IntArray]:
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


def counts_of_match(table: IntArray, rows: IntArray, columns: IntArray, missed: IntArray | int = 0) -> Counts:
    """Counts of an image with the matched pairs of classes ``rows`` and segments ``columns``.

    A class may be in several pairs, a segment only in one. See `match_contingency` for TP, FP and FN.

    Args:
        table: contingency table ``(n_classes, K)``.
        rows, columns: classes and segments of the pairs, ``(m,)`` each.
        missed: pixels of each class that are in no segment, ``(n_classes,)``; they add only to FN.
    """
    tp = np.zeros(len(table), dtype=np.int64)
    fp = np.zeros_like(tp)
    np.add.at(tp, rows, table[rows, columns])
    np.add.at(fp, rows, table[:, columns].sum(axis=0) - table[rows, columns])
    fn = table.sum(axis=1) - tp + missed
    return Counts(tp, fp, fn, labelled=int((tp + fn).sum()))


def confusion_of_match(table: IntArray, rows: IntArray, columns: IntArray) -> IntArray:
    """Confusion matrix of an image, ``(n_classes, n_classes + 1)`` pixels: true class by matched class.

    The last column counts pixels in segments without a class. The diagonal is TP; the rest of a row is FN, the rest of
    a column FP. Arguments as in `counts_of_match`.
    """
    matched = np.full(table.shape[1], len(table))
    matched[columns] = rows
    matrix = np.zeros((len(table), len(table) + 1), dtype=np.int64)
    np.add.at(matrix.T, matched, table.T)
    return matrix


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
    classes = np.flatnonzero(table.sum(axis=1))
    # Between equally good matches the solver decides by position. Sorting the columns by content and dropping empty
    # ones makes the result independent of the numbering of the segments: equal columns score alike.
    order = np.lexsort(table[::-1])
    order = order[table.sum(axis=0)[order] > 0]
    gain = table[np.ix_(classes, order)]
    seen = background is not None and bool(table[background].any())
    if seen:
        # Gain in agreeing pixels over leaving the segment to the background.
        gain = np.maximum(gain - table[background, order], 0)
    rows, columns = assign(gain)
    better = gain[rows, columns] > 0
    rows, columns = classes[rows[better]], order[columns[better]]
    if seen:
        left = np.setdiff1d(order, columns)
        rows, columns = np.append(rows, np.full_like(left, background)), np.append(columns, left)
    return rows, columns


def _as_labels(name: str, labels: ArrayOrTensor) -> IntArray:
    kind = getattr(labels, "dtype", None)
    array = np.asarray(cast(Any, labels).cpu() if hasattr(labels, "cpu") else labels)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name}: must hold integers, got {kind or array.dtype}")
    return array.astype(np.int64)
