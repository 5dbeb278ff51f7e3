"""Maps the values in label files to the scored classes."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from datasets.base import VOID

FOLDER = Path(__file__).with_name("classes")


@dataclass(frozen=True)
class ClassTable:
    """The classes of a data set.

    Attributes:
        names: class names; the position is the label.
        label_of: value in a label file -> label (0..len(names)-1, or `VOID`). Values it does not hold are
            void as well.
    """

    names: tuple[str, ...]
    label_of: Mapping[int, int]

    @cached_property
    def _lookup(self) -> NDArray[np.int16]:
        """Labels of the values 0..255."""
        return self._of(np.arange(np.iinfo(np.uint8).max + 1))

    def labels(self, values: NDArray[np.integer]) -> NDArray[np.int16]:
        """Labels ``(h, w)`` of the ``values`` ``(h, w)`` of a label file; `VOID` where a value has no class."""
        if values.dtype == np.uint8:
            return self._lookup[values]
        present, positions = np.unique(values, return_inverse=True)
        return self._of(present)[positions].reshape(values.shape)

    def _of(self, values: NDArray[np.integer]) -> NDArray[np.int16]:
        return np.array([self.label_of.get(value, VOID) for value in values.tolist()], np.int16)


@cache
def class_table(name: str) -> ClassTable:
    """Reads ``datasets/classes/NAME.csv``.

    The first column is the value in the label files, the last two are the label (-1: void) and its name; what stands
    between is for the reader.
    """
    with (FOLDER / f"{name}.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = [(int(row[0]), int(row[-2]), row[-1]) for row in list(csv.reader(file))[1:]]
    names = {label: name for _, label, name in rows if label != VOID}
    return ClassTable(
        names=tuple(names[label] for label in range(len(names))),
        label_of=MappingProxyType({value: label for value, label, _ in rows}),
    )
