"""Names that distinguish the rows of a table. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eval.results.columns import setting_columns, setting_text

if TYPE_CHECKING:
    from eval.row import Row


def telling_names(rows: Sequence[Row]) -> list[str]:
    """Names of the rows, with the settings that distinguish rows of the same name, such as ``K-Means-C, seed=3``.

    A value that more than half of the rows of a name share is left out.
    """
    parts = [[row.name] for row in rows]
    for name in {row.name for row in rows}:
        places = [place for place, row in enumerate(rows) if row.name == name]
        for column, path in _telling_columns([rows[place] for place in places]).items():
            values = [setting_text(rows[place].settings, path) for place in places]
            counts = Counter(values)
            for place, value in zip(places, values, strict=True):
                if 2 * counts[value] <= len(values):
                    parts[place].append(f"{column}={value}")
    return [", ".join(texts) for texts in parts]


def _telling_columns(namesakes: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """Column -> its path in the settings, for each column that tells apart rows that are equal in earlier columns."""
    columns: dict[str, tuple[str, ...]] = {}
    apart = 1
    # The side of the scored label map has no column, and neither has the code of a part.
    known = setting_columns(row.settings for row in namesakes)
    further = {"protocol.size": ("scoring", "size"), "protocol.components": ("scoring", "components")}
    for column, path in {**known, **further}.items():
        paths = [*columns.values(), path]
        kinds = len({tuple(setting_text(row.settings, path) for path in paths) for row in namesakes})
        if kinds > apart:
            columns[column] = path
            apart = kinds
    return columns
