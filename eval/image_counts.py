"""Counts of many pictures in one array of integers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from eval.matching import Counts

LARGEST = np.iinfo(np.int32).max


class ImageCounts(Sequence[Counts]):
    """Counts of many pictures in one array of integers.

    Attributes:
        pixels: ``(images, 3, n_classes)`` int32, or int64 for huge pictures: TP, FP and FN.
    """

    def __init__(self, images: int, classes: int, counts: Iterator[Counts]) -> None:
        self.pixels = np.zeros((images, 3, classes), dtype=np.int32)
        for number, image in enumerate(counts):
            if image.labelled > LARGEST and self.pixels.dtype == np.int32:
                self.pixels = self.pixels.astype(np.int64)
            self.pixels[number] = image.tp, image.fp, image.fn

    @property
    def tp(self) -> NDArray[np.integer]:
        """``(images, n_classes)``; `fp` and `fn` likewise."""
        return self.pixels[:, 0]

    @property
    def fp(self) -> NDArray[np.integer]:
        """See `tp`."""
        return self.pixels[:, 1]

    @property
    def fn(self) -> NDArray[np.integer]:
        """See `tp`."""
        return self.pixels[:, 2]

    @property
    def total(self) -> Counts:
        """The sum of all pictures."""
        return _counts(self.pixels.sum(axis=0, dtype=np.int64))

    @overload
    def __getitem__(self, place: int) -> Counts: ...
    @overload
    def __getitem__(self, place: slice) -> list[Counts]: ...
    def __getitem__(self, place: int | slice) -> Counts | list[Counts]:
        if isinstance(place, slice):
            return [_counts(pixels.astype(np.int64)) for pixels in self.pixels[place]]
        return _counts(self.pixels[place].astype(np.int64))

    def __len__(self) -> int:
        return len(self.pixels)


def _counts(pixels: NDArray[np.int64]) -> Counts:
    tp, fp, fn = pixels
    return Counts(tp, fp, fn, int(tp.sum() + fn.sum()))
