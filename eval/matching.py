"""Matching segments, which have no names, with the classes of the ground truth, one to one.

Within one image; `eval.scores` has what concerns a whole data set. The background of a data set that has one, such as
PASCAL VOC, may take many segments. All protocols are computed from the contingency table of the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from eval.protocols import ProtocolName, imported_protocol

if TYPE_CHECKING:  # what reads results imports this module, and needs no torch
    from torch import Tensor

    Labels = NDArray[np.integer] | Tensor

IntArray = NDArray[np.int64]

UNMATCHED = -1
"""Stands for the class of a segment that none is matched with."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Pixels of one image, or of many: counts are integers, so they add up exactly, in any order.

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
        """The counts of no image, where a sum starts."""
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
        """The counts as plain lists and integers."""
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
    prediction: Labels,
    truth: Labels,
    n_classes: int = 27,
    protocol: ProtocolName = "official",
    background: int | None = None,
) -> Counts:
    """Scores one image: the best one-to-one match of its segments with the classes.

    Args:
        prediction: segment of each pixel, integers >= 0 of any shape, an array or a tensor; gaps in the numbering are
            allowed.
        truth: class of each pixel, integers of the same shape; values outside ``0..n_classes-1`` are void.
        n_classes: number of classes (27 in COCO-Stuff-27 and in Cityscapes).
        protocol: ``official`` or ``present``, see `match_contingency`.
        background: the class that may take many segments; None where there is none.

    Raises:
        ValueError: the shapes differ, an array holds no integers, a segment has a negative number, the protocol is
            unknown, or the background is no class.
    """
    return match_contingency(contingency(prediction, truth, n_classes), protocol, background)


def contingency(prediction: Labels, truth: Labels, n_classes: int = 27) -> IntArray:
    """Pixels of each class in each segment, void pixels left out. Arguments and errors as in `match`.

    Counted on the device of the labels, so that label maps made on a GPU need not leave it.

    Returns:
        ``(n_classes, K)`` int64, ``K = max(n_classes, largest segment number + 1)``. As in the authors' code
        a segment that lies in void pixels alone counts towards ``K``.
    """
    prediction, truth = _as_labels("prediction", prediction), _as_labels("truth", truth)
    if prediction.shape != truth.shape:
        raise ValueError(
            f"prediction: must have the shape of truth, {tuple(truth.shape)}, got {tuple(prediction.shape)}"
        )
    if prediction.device != truth.device:
        raise ValueError(f"prediction: must be on the device of truth, {truth.device}, got {prediction.device}")
    lowest, highest = map(int, prediction.aminmax()) if prediction.numel() else (0, 0)
    if lowest < 0:
        raise ValueError(f"prediction: segments are numbered from 0, got {lowest}")
    segments = max(n_classes, highest + 1)
    # Void is one more row, which is left out afterwards.
    rows = truth.where((truth >= 0) & (truth < n_classes), n_classes)
    cells = (rows * segments + prediction).flatten()
    return cells.bincount(minlength=(n_classes + 1) * segments).view(-1, segments)[:-1].cpu().numpy()


def match_contingency(table: IntArray, protocol: ProtocolName = "official", background: int | None = None) -> Counts:
    """Matches the rows (classes) and columns (segments) of a contingency table so that most pixels agree.

    ``TP_c`` are the pixels of class c in its segment (the background: in its segments), ``FN_c`` the rest of the row,
    ``FP_c`` the rest of the column; a segment matched with no class adds only to FN.

    Args:
        table: what `contingency` returns.
        protocol: ``official``, as the authors score: classes absent from the image take part, and are charged
            the pixels of whatever left-over segment the solver hands them, which depends on how the segments
            are numbered. ``present``: only classes present take part, a pair without overlap is no match, and
            the numbering cannot matter. Without a background, TP, and so the accuracy, is the same in total.
        background: the class that may take many segments, see `match_official` and `match_present`.

    Raises:
        ValueError: the protocol is unknown, or the background is no class.
    """
    return counts_of_match(table, *matched_pairs(table, protocol, background))


def matched_pairs(table: IntArray, protocol: ProtocolName, background: int | None = None) -> tuple[IntArray, IntArray]:
    """Classes ``(m,)`` of one image and the segments ``(m,)`` they are matched with, pair by pair.

    Arguments and errors as in `match_contingency`.
    """
    if background is not None and not 0 <= background < len(table):
        raise ValueError(f"background: must be a class, 0..{len(table) - 1}, or None, got {background}")
    if protocol == "official":
        return match_official(table, background)
    if protocol == "present":
        return match_present(table, background)
    if protocol == "dataset":
        raise ValueError("protocol: dataset matches all images at once (eval.scores), not one image")
    try:
        rows, columns = imported_protocol(protocol)(table, background)
    except ValueError as error:
        raise ValueError(f"protocol: {error}") from None
    return np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)


def counts_of_match(table: IntArray, rows: IntArray, columns: IntArray) -> Counts:
    """Counts of an image whose classes ``rows`` are matched with the segments ``columns``, pair by pair.

    A class may stand in several pairs, a segment in one. See `match_contingency` for TP, FP and FN.
    """
    tp = np.zeros(len(table), dtype=np.int64)
    fp = np.zeros_like(tp)
    np.add.at(tp, rows, table[rows, columns])
    np.add.at(fp, rows, table[:, columns].sum(axis=0) - table[rows, columns])
    return Counts(tp, fp, fn=table.sum(axis=1) - tp, labelled=int(table.sum()))


def confusion_of_match(table: IntArray, rows: IntArray, columns: IntArray) -> IntArray:
    """Confusion matrix of an image, ``(n_classes, n_classes + 1)`` pixels: true class by matched class.

    The last column counts the pixels in segments that are matched with no class. The diagonal is TP, the rest of a row
    FN, the rest of a column FP. Arguments as in `counts_of_match`.
    """
    matched = np.full(table.shape[1], len(table))
    matched[columns] = rows
    matrix = np.zeros((len(table), len(table) + 1), dtype=np.int64)
    np.add.at(matrix.T, matched, table.T)
    return matrix


def match_official(table: IntArray, background: int | None = None) -> tuple[IntArray, IntArray]:
    """Classes ``(m,)`` and the segments ``(m,)`` they are matched with; no segment twice.

    With a background as DiffCut (arXiv 2406.02842) scores, ``eval_diffcut.py`` of its public code: the other classes
    are matched one to one; the segments that none of those present in the image got become one segment ("Many-to-one
    matching for background"); then all classes are matched anew, one to one. The joined segment is the background's
    only where that agrees best: it may go to another class as well. Void pixels, which are background there, are left
    out here as ever.
    """
    if background is None:
        return linear_sum_assignment(table, maximize=True)
    # As there, the background is the last row and the joined segment has the next number: where the solver has a
    # choice, both decide.
    classes = np.append(np.delete(np.arange(len(table)), background), background)
    joined = 1 + np.flatnonzero(table.any(axis=0)).max(initial=-1)
    others = table[classes[:-1]]
    _, columns = linear_sum_assignment(others, maximize=True)
    kept = columns[others[:, columns].any(axis=1)]
    number = np.full(table.shape[1], joined)
    number[kept] = kept
    renumbered = np.zeros((len(table), max(len(table), joined + 1)), dtype=np.int64)
    np.add.at(renumbered.T, number, table[classes].T)
    rows, columns = linear_sum_assignment(renumbered, maximize=True)
    class_of_number = np.full(renumbered.shape[1], UNMATCHED)
    class_of_number[columns] = classes[rows]
    class_of = class_of_number[number]
    matched = np.flatnonzero(class_of != UNMATCHED)
    return class_of[matched], matched


def match_present(table: IntArray, background: int | None = None) -> tuple[IntArray, IntArray]:
    """Classes ``(m,)`` and the segments ``(m,)`` they are matched with, classes present only; no segment twice.

    Without a background, or in an image without any of it: pairs that overlap only. With one: every segment is the
    background's, but for those with which other classes, one segment each, agree on more pixels. Of all such ways the
    one by which most pixels agree; no second matching is needed.
    """
    classes = np.flatnonzero(table.sum(axis=1))
    # Between several best matches the solver chooses by position. Sorting the columns by what they hold, the
    # empty ones left out, makes the position a function of the partition alone: equal columns score alike.
    order = np.lexsort(table[::-1])
    order = order[table.sum(axis=0)[order] > 0]
    gain = table[np.ix_(classes, order)]
    seen = background is not None and bool(table[background].any())
    if seen:
        # What a match gains over leaving the segment to the background.
        gain = np.maximum(gain - table[background, order], 0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    better = gain[rows, columns] > 0
    rows, columns = classes[rows[better]], order[columns[better]]
    if seen:
        left = np.setdiff1d(order, columns)
        rows, columns = np.append(rows, np.full_like(left, background)), np.append(columns, left)
    return rows, columns


def _as_labels(name: str, labels: Labels) -> Tensor:
    import torch

    if isinstance(labels, torch.Tensor):
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            raise ValueError(f"{name}: must hold integers, got {labels.dtype}")
        return labels.long()
    array = np.asarray(labels)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name}: must hold integers, got {array.dtype}")
    return torch.from_numpy(array.astype(np.int64))
