"""Pixel counts of classes after a match: of one image, and of many in one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from eval.contingency import Block, IntArray, add_up

UNMATCHED = -1
"""Class of a segment that is matched with no class."""

LARGEST = np.iinfo(np.int32).max


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

    def __sub__(self, other: Counts) -> Counts:
        return Counts(self.tp - other.tp, self.fp - other.fp, self.fn - other.fn, self.labelled - other.labelled)

    def __radd__(self, other: Literal[0]) -> Counts:
        """Lets ``sum(counts)`` start from its default, 0."""
        return self if other == 0 else NotImplemented

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and self.to_json() == other.to_json()

    def to_json(self) -> dict[str, Any]:
        """Converts the counts to lists and integers."""
        arrays = {name: getattr(self, name).tolist() for name in ("tp", "fp", "fn")}
        return {**arrays, "labelled": self.labelled}


class ImageCounts(Sequence[Counts]):
    """Counts of many images in one array of integers.

    Attributes:
        pixels: TP, FP and FN of each image, ``(images, 3, n_classes)`` int32, or int64 for huge images.
        confusion: pixels of all images by true class and matched class, ``(n_classes, n_classes + 1)`` int64. The last
            column counts pixels in segments without a class, or in no segment. The diagonal is TP; the rest of a row is
            FN, the rest of a column FP.
    """

    def __init__(self, images: int, n_classes: int) -> None:
        self.pixels = np.zeros((images, 3, n_classes), dtype=np.int32)
        self.confusion = np.zeros((n_classes, n_classes + 1), dtype=np.int64)

    @property
    def total(self) -> Counts:
        """The sum of all images."""
        return _counts(self.pixels.sum(axis=0, dtype=np.int64))

    def __getitem__(self, place: int) -> Counts:  # type: ignore[override]  # nobody slices it
        return _counts(self.pixels[place].astype(np.int64))

    def __len__(self) -> int:
        return len(self.pixels)

    def add(self, start: int, block: Block, class_of: IntArray) -> None:
        """Counts some images.

        Args:
            start: number of the first image.
            block: the tables of the images.
            class_of: class of each segment of the block, or `UNMATCHED`. Several segments may have the same class.
        """
        images, classes = len(block.tables), len(self.confusion)
        matched = class_of[block.segment]
        hit, extra = matched == block.row, matched != UNMATCHED
        rows, columns = block.table * classes + block.row, block.table * classes + matched
        tp, fp, fn = (
            add_up(index[cells], block.pixels[cells], images, classes)
            for index, cells in ((rows, hit), (columns, extra & ~hit), (rows, ~hit))
        )
        if self.pixels.dtype == np.int32 and max((tp + fn).sum(axis=1).max(), fp.max(initial=0)) > LARGEST:
            self.pixels = self.pixels.astype(np.int64)
        self.pixels[start : start + images] = np.stack((tp, fp, fn), axis=1)
        cells = block.row * (classes + 1) + np.where(extra, matched, classes)
        self.confusion += add_up(cells, block.pixels, classes, classes + 1)


def _counts(pixels: IntArray) -> Counts:
    tp, fp, fn = pixels
    return Counts(tp, fp, fn, int(tp.sum() + fn.sum()))
