"""The table of a benchmark as text."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.bench.measuring import Line

HEADER = ("line", "ours", "alternative", "ours/alt.", "goal", "met", "floor", "note")


def table(lines: Sequence[Line]) -> str:
    """Text of the table, with aligned columns."""
    rows = [HEADER, *(_cells(line) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([text[0], "-" * sum(widths), *text[1:]])


def _cells(line: Line) -> tuple[str, ...]:
    bound = ">=" if line.more_is_better else "<="
    goal = "" if line.goal is None else f"{bound} {_figure(line.goal)} {line.unit}"
    if line.goal_ratio is not None:
        goal = f"<= {line.goal_ratio:g} x alt."
    return (
        line.name,
        "" if line.ours is None else f"{_figure(line.ours)} {line.unit}",
        "" if line.theirs is None else f"{_figure(line.theirs)} {line.unit} ({line.against})",
        "" if line.ratio is None else f"{line.ratio:.2f}",
        goal,
        {True: "yes", False: "NO", None: ""}[line.met],
        "" if line.floor is None else f"{_figure(line.floor)} {line.unit}",
        line.note,
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
