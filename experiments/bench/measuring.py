"""Defines a line of the benchmark, measures times, and prints the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

NO_CUDA = "unmeasured: no CUDA device"
HEADER = ("line", "ours", "alternative", "ours/alt.", "goal", "note")


@dataclass(frozen=True)
class Line:
    """A line of the benchmark's table.

    Attributes:
        name: begins with the name of its group.
        ours: figure of this code; None: unmeasured, and ``note`` says why.
        theirs: figure of the alternative, measured in the same run.
        against: name of the alternative.
        goal: goal for the full size, such as ``<= 0.35 s`` or ``<= 1.3 x``, of the alternative.
        note: remark.
        unit: unit of ``ours`` and ``theirs``.
    """

    name: str
    ours: float | None = None
    theirs: float | None = None
    against: str = ""
    goal: str = ""
    note: str = ""
    unit: str = "s"

    @property
    def ratio(self) -> float | None:
        """Ours over theirs."""
        return self.ours / self.theirs if self.ours is not None and self.theirs else None

    @property
    def cells(self) -> tuple[str, ...]:
        """Texts of the columns."""
        ours, theirs = (
            "" if value is None else f"{value:,.0f} {self.unit}" if value >= 100 else f"{value:.3g} {self.unit}"
            for value in (self.ours, self.theirs)
        )
        alternative = f"{theirs} ({self.against})" if theirs else ""
        return self.name, ours, alternative, "" if self.ratio is None else f"{self.ratio:.2f}", self.goal, self.note


def seconds(calls: Mapping[str, Callable[[], Any]], repeats: int, device: str = "cpu") -> dict[str, float]:
    """Median time of each call, after a warm-up. The calls take turns, so that a slow moment affects all."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(repeats + 1):
        for name, call in calls.items():
            wait()
            start = time.perf_counter()
            call()
            wait()
            if number:
                times[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in times.items()}


def table(lines: Sequence[Line]) -> str:
    """Text of the table, with aligned columns."""
    rows = [HEADER, *(line.cells for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
