"""Groups the rows of a table that differ only in the seed of their segmenter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.results.row_results import RowResults
from eval.settings import row_key

if TYPE_CHECKING:  # it imports torch, and a leaderboard needs none
    from eval.rows import Row


def key_without_seed(row: Row | RowResults) -> str:
    """A key that rows share if they have the same name and, except for the seed, the same settings."""
    segmenter = {name: value for name, value in row.settings["segmenter"].items() if name != "seed"}
    return row_key({**row.settings, "segmenter": segmenter, "row": row.name})
