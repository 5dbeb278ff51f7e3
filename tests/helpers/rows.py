"""Composes rows like the command line."""

from __future__ import annotations

from eval.rows import RowConfig
from experiments.running.arguments import read_arguments
from experiments.running.compose import compose_rows


def rows_of(*typed: str) -> list[RowConfig]:
    """The rows of a command, without a look at data and weights."""
    return list(compose_rows(read_arguments(typed), checked=False).rows)
