"""Makes ``scales.csv``: the best scale of each family of rows that differ in one number, for the set and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eval.protocol_scores import boundary_counts, region_scores
from eval.results.names import telling_names
from eval.runs import Row
from eval.scales import COLUMNS, scales
from eval.settings import leaves

SCALE_COLUMNS = ("family", "parameter", "images", *COLUMNS)


@dataclass(frozen=True)
class Family:
    """Rows that differ in one number.

    Attributes:
        name: name of the rows.
        parameter: path of the number in the settings, such as ``segmenter.tau``; "" for a single row without one.
        values: the number in each row; NaN for a single row.
        rows: the rows, in the same order.
    """

    name: str
    parameter: str
    values: Sequence[float]
    rows: Sequence[Row]


def families(rows: Sequence[Row], parameter: str | None = None) -> list[Family]:
    """Groups rows of one name into families.

    Args:
        rows: the rows.
        parameter: path of the number, such as ``segmenter.tau``; None: the number that leaves the fewest families.
    """
    found = []
    for name in dict.fromkeys(row.name for row in rows):
        namesakes = [row for row in rows if row.name == name]
        settings = [_compared(row) for row in namesakes]
        candidates = [parameter] if parameter else _varying_numbers(settings)
        grouped = {path: _without(settings, path) for path in candidates}
        best = min(candidates, key=lambda path: len(set(grouped[path])), default=None)
        groups: dict[Any, list[int]] = {}
        for index in range(len(namesakes)):
            groups.setdefault(grouped[best][index] if best else index, []).append(index)
        for members in groups.values():
            values = [settings[index].get(best or "") for index in members]
            numeric = best is not None and all(_is_number(value) for value in values)
            of_group = [namesakes[index] for index in members]
            found.append(Family(name, (best or "") if numeric else "", list(_numbers(values)), of_group))
    return found


def scales_table(rows: Sequence[Row], parameter: str | None = None) -> pd.DataFrame:
    """Makes a line for each family. Columns `SCALE_COLUMNS`; only pictures that all rows of a family have count."""
    lines = []
    found = families(rows, parameter)
    names = telling_names([family.rows[0] for family in found])  # with the settings that are fixed in a family
    for name_of_family, family in zip(names, found, strict=True):
        known = [{record.picture: record for record in row.evaluated} for row in family.rows]
        pictures = [id for id in known[0] if all(id in records for records in known)]
        columns: dict[str, list[list[Any]]] = {}
        for name, compute in (("regions", region_scores), ("boundaries", boundary_counts)):
            values = [[compute(records[id]) for id in pictures] for records in known]
            if pictures and all(value is not None for of_row in values for value in of_row):
                columns[name] = values
        if columns:
            of_family = scales(family.values, **columns)
            lines.append({"family": name_of_family, "parameter": family.parameter, **of_family})
    return pd.DataFrame(lines, columns=SCALE_COLUMNS)


def _compared(row: Row) -> Mapping[str, Any]:
    """The settings of a row as paths, without names that say nothing about the result."""
    return {path: value for path, value in leaves(row.settings) if path != "experiment" and not path.endswith(".code")}


def _varying_numbers(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    paths = dict.fromkeys(path for each in settings for path in each)
    varying = [path for path in paths if len({repr(each.get(path)) for each in settings}) > 1]
    return [path for path in varying if all(_is_number(each.get(path)) for each in settings)]


def _without(settings: Sequence[Mapping[str, Any]], path: str) -> list[tuple[str, ...]]:
    return [tuple(f"{name}={value!r}" for name, value in sorted(each.items()) if name != path) for each in settings]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(values: Sequence[Any]) -> Iterator[float]:
    for value in values:
        yield float(value) if _is_number(value) else float("nan")
