"""Groups the rows of a table that differ only in the seed of their segmenter."""

from __future__ import annotations

from eval.runs import Row
from eval.settings import row_key


def key_without_seed(row: Row) -> str:
    """A key that rows share if they have the same name and, except for the seed, the same settings."""
    segmenter = {name: value for name, value in row.settings["segmenter"].items() if name != "seed"}
    return row_key({**row.settings, "segmenter": segmenter, "row": row.name})
