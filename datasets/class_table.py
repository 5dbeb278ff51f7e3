"""Maps the values in label files to the scored classes."""

from __future__ import annotations

import csv
import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from datasets.base import VOID
from diffseg.files.label_maps import COLOUR, Colours, colour_number, number_text

FOLDER = Path(__file__).with_name("classes")
HEADER = "value,label,name"
COLUMNS = f"{HEADER}, or name,r,g,b, or name,colour with #rrggbb"

# Header, in small letters -> the column that it means.
HEADERS = {
    **dict.fromkeys(("value", "pixel value", "pixel_value", "id"), "value"),
    **dict.fromkeys(("name", "names", "class", "classes", "class name", "class_name"), "name"),
    **dict.fromkeys(("category", "categories"), "name"),
    **dict.fromkeys(("r", "red"), "r"),
    **dict.fromkeys(("g", "green"), "g"),
    **dict.fromkeys(("b", "blue"), "b"),
    **dict.fromkeys(("colour", "color"), "colour"),
    **{"label": "label", "value_name": "value_name"},
}
LIST_HEADERS = {header for header, column in HEADERS.items() if column == "name"} | {"label", "labels"}
LARGEST_COUNT = np.iinfo(np.int16).max  # the type of labels
NUMBER, HEX_COLOUR, LARGEST_CHANNEL = re.compile(r"[+-]?\d+"), re.compile(r"#?([0-9a-fA-F]{6})"), 255

Row: TypeAlias = "tuple[Sequence[int], int, str]"
"""Values in label files, label and name: a line of a class file."""


@dataclass(frozen=True)
class ClassTable:
    """The classes of a data set.

    Attributes:
        names: class names; the position is the label.
        label_of: value in a label file -> label (0..len(names)-1, or `VOID`). All other values are void, too. Colours
            are values as of `diffseg.files.label_maps.colour_number`.
        published: True if a published evaluation decides what is void.
    """

    names: tuple[str, ...]
    label_of: Mapping[int, int]
    published: bool = False

    @property
    def colours(self) -> Colours:
        """Use of colours in a label map: ``only`` colours are read, they are ``allowed``, or they are ``refused``."""
        coloured = [value >= COLOUR for value, label in self.label_of.items() if label != VOID]
        return "refused" if not any(coloured) else "only" if all(coloured) else "allowed"

    def read(self, values: NDArray[np.integer]) -> tuple[NDArray[np.int16], dict[int, int]]:
        """Labels ``(h, w)`` int16 of the ``values`` ``(h, w)`` of a label file, and the number of pixels of each value.

        The label of a value without a class is `VOID`.
        """
        if values.dtype == np.uint8:  # without sorting
            present, positions, counts = np.arange(256), values, np.bincount(values.ravel(), minlength=256)
        else:
            present, positions, counts = np.unique(values, return_inverse=True, return_counts=True)
        labels = np.array([self.label_of.get(value, VOID) for value in present.tolist()], np.int16)
        pixels = {value: count for value, count in zip(present.tolist(), counts.tolist(), strict=True) if count}
        return labels[positions].reshape(values.shape), pixels

    def without(self, values: Iterable[int]) -> ClassTable:
        """The table with these values void. Classes that lose all their values are dropped; the others keep order."""
        label_of = {**self.label_of, **dict.fromkeys(values, VOID)}
        kept = sorted(set(label_of.values()) - {VOID})
        new = {label: number for number, label in enumerate(kept)} | {VOID: VOID}
        return ClassTable(
            tuple(self.names[label] for label in kept),
            MappingProxyType({value: new[label] for value, label in label_of.items()}),
        )


@cache
def class_table(name: str) -> ClassTable:
    """The classes of a data set of this project, from ``datasets/classes/NAME.csv``."""
    table = read_class_table(FOLDER / f"{name}.csv")
    return ClassTable(table.names, table.label_of, published=True)


def read_class_table(path: Path) -> ClassTable:
    """Reads a CSV file of classes.

    The first line names the columns, in any order: ``value`` in the label files, ``label`` (-1: void; absent: the
    classes are numbered in the order of the lines), ``name`` (or ``class``), ``r,g,b`` or ``colour`` (``#808080``) for
    label maps in colours. ``value_name`` is for readers. Other columns are refused. A file with a single column lists
    names, with or without a header: the value is the position.

    Raises:
        ValueError: the file cannot be read, or its lines contradict each other; the message names the file and line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = {number: [cell.strip() for cell in line] for number, line in enumerate(csv.reader(file), 1)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{path}: the classes cannot be read ({reason}); give a CSV file with {HEADER}") from error
    try:
        return _parsed(lines)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; the columns are {COLUMNS}, with label -1 for void") from error


def table_of_names(names: Iterable[str]) -> ClassTable:
    """Table of classes whose value in the label files is their position. Raises ValueError if a name occurs twice."""
    return _table([([position], position, name) for position, name in enumerate(names)])


def _parsed(lines: Mapping[int, list[str]]) -> ClassTable:
    """The table in the lines of a CSV file; line number -> cells. Raises ValueError."""
    for line in lines.values():
        while line and not line[-1]:  # spreadsheets write empty columns
            line.pop()
    (header, *rest) = [(number, line) for number, line in lines.items() if line] or [(1, [])]
    if not header[1]:
        raise ValueError("it is empty")
    if all(len(line) == 1 for _, line in (header, *rest)):
        names = [line[0] for _, line in (header, *rest)]
        if any(separator in name for separator in ";\t" for name in names):
            raise ValueError("its columns are not separated by commas")
        first = names[0].lower()
        if first.startswith("#") or HEADERS.get(first) == "value":
            raise ValueError(f"its first line ({names[0]}) is neither a name nor the header of a list of names")
        return table_of_names(names[1:] if first in LIST_HEADERS else names)
    columns = _columns(header[1])
    rows: list[Row] = []
    numbers: dict[str, int] = {}  # of the classes of a file without labels
    for number, line in rest:
        try:
            if len(line) > len(columns):
                raise ValueError(f"has {len(line)} columns, the header {len(columns)}")
            cells = dict(zip(columns, line, strict=False))
            name = cells.get("name", "")
            label = _whole(cells, "label") if "label" in columns else numbers.setdefault(name, len(numbers))
            if not name and label != VOID:
                raise ValueError("has no name")
            rows.append((_values(cells, columns) or [label], label, name))  # label,name: the maps hold the labels
        except ValueError as error:
            raise ValueError(f"line {number} ({','.join(line)}) {error}") from None
    return _table(rows)


def _columns(header: Sequence[str]) -> list[str]:
    """Meaning of each column. Raises ValueError if the first line is no header, or an unknown one."""
    if any(NUMBER.fullmatch(cell) or HEX_COLOUR.fullmatch(cell) for cell in header):
        raise ValueError(f"the first line ({','.join(header)}) holds numbers and no header; add a line with the header")
    columns: list[str] = []
    for cell in header:
        column = HEADERS.get(cell.lower())
        if column is None:
            raise ValueError(f"its header has the unknown column {cell!r}")
        if column in columns:
            raise ValueError(f"its header has two columns for the {column}, {header[columns.index(column)]} and {cell}")
        columns.append(column)
    if 0 < sum(channel in columns for channel in "rgb") < len("rgb"):
        raise ValueError("its header has some of r, g and b")
    if "name" not in columns or {"name", "value_name"}.issuperset(columns):
        raise ValueError(f"its header ({','.join(header)}) has no {'value' if 'name' in columns else 'name'}")
    return columns


def _values(cells: Mapping[str, str], columns: Sequence[str]) -> list[int]:
    """The numbers of a line in label maps: its value and its colour. Raises ValueError if one cannot be read."""
    values = [_whole(cells, "value")] if "value" in columns else []
    if "r" in columns:
        channels = [_whole(cells, channel) for channel in "rgb"]
        if not all(0 <= channel <= LARGEST_CHANNEL for channel in channels):
            raise ValueError(f"has a colour outside 0..{LARGEST_CHANNEL}")
        values.append(colour_number(*channels))
    if "colour" in columns:
        match = HEX_COLOUR.fullmatch(cells.get("colour", ""))
        if match is None:
            raise ValueError("has no colour such as #808080")
        values.append(COLOUR + int(match[1], 16))
    return values


def _whole(cells: Mapping[str, str], column: str) -> int:
    text = cells.get(column, "")
    if not NUMBER.fullmatch(text):
        raise ValueError(f"has no whole number as {column}")
    return int(text)


def _table(rows: Sequence[Row]) -> ClassTable:
    """Joins the rows. Raises ValueError if they contradict each other."""
    label_of: dict[int, int] = {}
    names: dict[int, str] = {}
    for values, label, name in rows:
        for value in dict.fromkeys(values):
            if value in label_of:
                raise ValueError(f"the value {number_text(value)} occurs twice")
            label_of[value] = label
        if label != VOID and names.setdefault(label, name) != name:
            raise ValueError(f"the label {label} has two names, {names[label]} and {name}")
    if missing := set(range(max(1, len(names)))) - names.keys():
        raise ValueError(f"no class has the label {min(missing)}; the labels are 0, 1, 2, ... without a gap")
    if len(names) > LARGEST_COUNT:
        raise ValueError(f"it has {len(names):,} classes, and at most {LARGEST_COUNT:,} can be scored")
    for label, name in names.items():
        if not name:
            raise ValueError(f"the name of class {label} is empty")
        if not name.isprintable():  # such as a line break, after a quote that is not closed
            raise ValueError(f"the name of class {label}, {reprlib.repr(name)}, holds a character that cannot be shown")
    if repeated := [name for name, count in Counter(names.values()).items() if count > 1]:
        raise ValueError(f"two labels have the same name, {repeated[0]}")
    return ClassTable(tuple(names[label] for label in range(len(names))), MappingProxyType(label_of))
