"""Defines a line of the benchmark, measures times, and prints the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

NO_CUDA = "unmeasured: no CUDA device"
HEADER = ("line", "ours", "alternative", "ours/alt.", "goal", "met", "note")


@dataclass(frozen=True)
class Line:
    """A line of the benchmark's table.

    Attributes:
        name: begins with the name of its group.
        unit: unit of ``ours``, ``theirs`` and ``goal``.
        ours: figure of this code; None: unmeasured, and ``note`` says why.
        theirs: figure of the alternative, measured in the same run.
        against: name of the alternative.
        goal: upper bound of ours; lower bound if ``more_is_better``.
        goal_ratio: upper bound of ours divided by theirs.
        note: remark.
    """

    name: str
    unit: str = "s"
    ours: float | None = None
    theirs: float | None = None
    against: str = ""
    goal: float | None = None
    goal_ratio: float | None = None
    more_is_better: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over theirs."""
        return self.ours / self.theirs if self.ours is not None and self.theirs else None

    @property
    def met(self) -> bool | None:
        """True if the goal is reached; None without a goal or a figure."""
        if self.ours is None:
            return None
        if self.goal is not None:
            return self.ours >= self.goal if self.more_is_better else self.ours <= self.goal
        if self.goal_ratio is not None and self.ratio is not None:
            return self.ratio <= self.goal_ratio
        return None


@dataclass(frozen=True)
class Settings:
    """Options of all lines: ``quick`` for small inputs; ``repeats`` of each timed call, of which the median counts."""

    quick: bool = False
    repeats: int = 5


def seconds(calls: Mapping[str, Callable[[], Any]], repeats: int, device: str = "cpu") -> dict[str, float]:
    """Median time of each call, after a warm-up. The calls take turns, so that a slow moment affects all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(repeats + 1):
        for name, call in calls.items():
            _wait(device)
            start = time.perf_counter()
            call()
            _wait(device)
            if number:
                times[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in times.items()}


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def table(lines: Sequence[Line]) -> str:
    """Text of the table, with aligned columns."""
    rows = [HEADER, *(_cells(line) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _cells(line: Line) -> tuple[str, ...]:
    goal = "" if line.goal is None else f"{'>=' if line.more_is_better else '<='} {_figure(line.goal)} {line.unit}"
    if line.goal_ratio is not None:
        goal = f"<= {line.goal_ratio:g} x alt."
    return (
        line.name,
        "" if line.ours is None else f"{_figure(line.ours)} {line.unit}",
        "" if line.theirs is None else f"{_figure(line.theirs)} {line.unit} ({line.against})",
        "" if line.ratio is None else f"{line.ratio:.2f}",
        goal,
        {True: "yes", False: "NO", None: ""}[line.met],
        line.note,
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
