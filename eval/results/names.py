"""Names that distinguish the rows of a table. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from eval.results.columns import setting_columns, setting_text

if TYPE_CHECKING:
    from eval.runs import Row


def telling_names(rows: Sequence[Row]) -> list[str]:
    """Names of the rows, with the settings that distinguish rows of the same name, such as ``K-Means-C, seed=3``.

    A value that more than half of the rows of a name share is left out.
    """
    names = []
    for row in rows:
        namesakes = [other for other in rows if other.name == row.name]
        parts = [row.name]
        for column, path in _telling_columns(namesakes).items():
            values = [setting_text(other.settings, path) for other in namesakes]
            value = setting_text(row.settings, path)
            if 2 * values.count(value) <= len(values):
                parts.append(f"{column}={value}")
        names.append(", ".join(parts))
    return names


def _telling_columns(namesakes: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """Column -> its path in the settings, for each column that tells apart rows that are equal in earlier columns."""
    columns: dict[str, tuple[str, ...]] = {}
    apart = 1
    # The side of the scored label map has no column, and neither has the code of a part.
    known = setting_columns(each.settings for each in namesakes)
    further = {"protocol.size": ("scoring", "size"), "protocol.components": ("scoring", "components")}
    for column, path in {**known, **further}.items():
        paths = [*columns.values(), path]
        kinds = len({tuple(setting_text(each.settings, path) for path in paths) for each in namesakes})
        if kinds > apart:
            columns[column] = path
            apart = kinds
    return columns
