"""Composes rows like the command line."""

from __future__ import annotations

from eval.rows import RowConfig
from experiments.running.arguments import read_arguments
from experiments.running.compose import compose_points, points_of, search_path
from experiments.running.compose import parse as parse_overrides


def rows_of(*typed: str) -> list[RowConfig]:
    """The rows of a command, without a look at data and weights."""
    arguments = read_arguments(typed)
    with search_path(arguments.config_dir):
        points = points_of(parse_overrides(arguments.overrides, arguments.swept))
        return list(compose_points(points, arguments.config_dir, checked=False).rows)
