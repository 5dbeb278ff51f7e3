"""Maps the values in label files to the scored classes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from datasets.base import VOID

FOLDER = Path(__file__).with_name("classes")
HEADER = "value,label,name"


@dataclass(frozen=True)
class ClassTable:
    """The classes of a data set.

    Attributes:
        names: class names; the position is the label.
        label_of: value in a label file -> label (0..len(names)-1, or `VOID`). All other values are void, too.
    """

    names: tuple[str, ...]
    label_of: Mapping[int, int]

    @cached_property
    def _lookup(self) -> NDArray[np.int16]:
        """Labels of the values 0..255."""
        return self._of(np.arange(np.iinfo(np.uint8).max + 1))

    def labels(self, values: NDArray[np.integer]) -> NDArray[np.int16]:
        """Labels ``(h, w)`` int16 of the ``values`` ``(h, w)`` of a label file; `VOID` for a value without a class."""
        if values.dtype == np.uint8:
            return self._lookup[values]
        present, positions = np.unique(values, return_inverse=True)
        return self._of(present)[positions].reshape(values.shape)

    def _of(self, values: NDArray[np.integer]) -> NDArray[np.int16]:
        return np.array([self.label_of.get(value, VOID) for value in values.tolist()], np.int16)


@cache
def class_table(name: str) -> ClassTable:
    """The classes of a data set of this project, from ``datasets/classes/NAME.csv``."""
    return read_class_table(FOLDER / f"{name}.csv")


def read_class_table(path: Path) -> ClassTable:
    """Reads a CSV file of classes.

    Each line after the header is a value in the label files. The first column holds the value, the last two its label
    (-1: void) and the name of the label; columns between them are ignored. A file with a single column lists names:
    the value is the position.

    Raises:
        ValueError: the file cannot be read, or its lines contradict each other; the message names the file and line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [(number, [cell.strip() for cell in line]) for number, line in enumerate(csv.reader(file), 1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{path}: the classes cannot be read ({reason}); give a CSV file with {HEADER}") from error
    lines = [(number, line) for number, line in lines if any(line)]
    try:
        if not lines or any(len(line) > 1 for _, line in lines):
            return _table([_row(*each) for each in lines[1:]])
        names = [line[0] for _, line in lines]
        if any(separator in name for separator in ";\t" for name in names):
            raise ValueError("its columns are not separated by commas")
        return table_of_names(names[1:] if names[0].lower() == "name" else names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; the columns are {HEADER}, with label -1 for void") from error


def table_of_names(names: Iterable[str]) -> ClassTable:
    """Table of classes whose value in the label files is their position. Raises ValueError if a name occurs twice."""
    return _table([(position, position, name) for position, name in enumerate(names)])


def _row(number: int, line: Sequence[str]) -> tuple[int, int, str]:
    """Value, label and name of a line of the file."""
    try:
        return int(line[0]), int(line[-2]), line[-1]
    except (ValueError, IndexError):
        raise ValueError(f"line {number} holds no value, label and name ({','.join(line)})") from None


def _table(rows: Sequence[tuple[int, int, str]]) -> ClassTable:
    """Joins values, labels and names. Raises ValueError if they contradict each other."""
    label_of: dict[int, int] = {}
    names: dict[int, str] = {}
    for value, label, name in rows:
        if value in label_of:
            raise ValueError(f"the value {value} occurs twice")
        label_of[value] = label
        if label != VOID and names.setdefault(label, name) != name:
            raise ValueError(f"the label {label} has two names, {names[label]} and {name}")
    if sorted(names) != list(range(len(names))) or not names:
        raise ValueError(f"the labels are {sorted(names)}, not 0, 1, 2, ... without a gap")
    if len(set(names.values())) < len(names):
        raise ValueError(f"two labels have the same name, among {', '.join(sorted(names.values()))}")
    return ClassTable(tuple(names[label] for label in range(len(names))), MappingProxyType(label_of))
