"""A row of the tables, and names that distinguish rows. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eval.results.columns import setting_columns, setting_text

if TYPE_CHECKING:
    from diffseg.aggregation import Aggregation
    from diffseg.segmenters.base import Segmenter
    from eval.config import RowConfig


@dataclass(frozen=True)
class Row:
    """A row of the tables.

    Attributes:
        name: in the tables; several rows may have the same name.
        key: its key in the records, see `eval.settings.row_key`.
        settings: group -> name -> value, see `eval.results.columns.SETTINGS`. A setting that is missing or None
            does not apply.
        published: ``acc`` and ``miou`` of the paper in percent; None if the paper has no such row.
        note: a footnote for ``table.md``.
    """

    name: str
    key: str
    settings: Mapping[str, Any]
    published: Mapping[str, float | None] | None = None
    note: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class RowToRun(Row):
    """A row whose parts are built and fit together, made by `eval.row_setup.prepare`.

    Attributes:
        config: the configured row.
        aggregation, segmenter: its parts, without open parameters.
        recorded: the settings that affect the results. The key is their hash.
    """

    config: RowConfig
    aggregation: Aggregation
    segmenter: Segmenter
    recorded: Mapping[str, Any]


def telling_names(rows: Sequence[Row]) -> list[str]:
    """Names with the settings that distinguish rows of the same name, such as ``K-Means-C, seed=3``.

    A value that more than half of these rows share is left out.
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
    """Column -> its path in the settings, for each column that distinguishes rows which earlier columns do not."""
    columns: dict[str, tuple[str, ...]] = {}
    apart = 1
    # The side of the scored label map has no column.
    known = setting_columns(each.settings for each in namesakes)
    for column, path in {**known, "protocol.size": ("scoring", "size")}.items():
        paths = [*columns.values(), path]
        kinds = len({tuple(setting_text(each.settings, path) for path in paths) for each in namesakes})
        if kinds > apart:
            columns[column] = path
            apart = kinds
    return columns
