"""Defines a line of the benchmark and measures time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

MB = 1e6
GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"
NO_CUDA = "unmeasured: no CUDA device"
# Linux only: these files read and reset the peak memory of a process.
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"


@dataclass(frozen=True)
class Line:
    """A line of the benchmark's table.

    Attributes:
        name: begins with the name of its group.
        unit: unit of ``ours``, ``theirs``, ``goal`` and ``floor``.
        ours: figure of this code; None: unmeasured, and ``note`` says why.
        theirs: figure of the alternative, measured in the same run.
        against: name of the alternative.
        goal: upper bound of ours; lower bound if ``more_is_better``.
        goal_ratio: upper bound of ours divided by theirs.
        floor: figure of the unavoidable part alone, measured in the same run.
        note: remark.
    """

    name: str
    unit: str = "s"
    ours: float | None = None
    theirs: float | None = None
    against: str = ""
    goal: float | None = None
    goal_ratio: float | None = None
    floor: float | None = None
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
    """Options of all lines.

    Attributes:
        quick: use small inputs. This shows that the lines run, not how fast.
        repeats: number of times each call is timed; the median counts.
        golden: folder of reference results of the authors' code.
    """

    quick: bool = False
    repeats: int = 5
    golden: Path = GOLDEN


def seconds(
    calls: Mapping[str, Callable[[], Any]], repeats: int, device: str = "cpu", warm_up: bool = True
) -> dict[str, float]:
    """Median time of each call, after a warm-up. The calls take turns, so that a slow moment affects all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(repeats + warm_up):
        for name, call in calls.items():
            _wait(device)
            start = time.perf_counter()
            call()
            _wait(device)
            if number >= warm_up:
                times[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in times.items()}


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak_bytes(call: Callable[[], Any], device: str = "cpu") -> int | None:
    """Peak memory during the call: of the process for a CPU (Linux), of torch's tensors for CUDA. None: unknown."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        call()
        _wait(device)
        return torch.cuda.max_memory_allocated()
    if not CLEAR_REFS.exists():
        return None
    CLEAR_REFS.write_text(RESET_PEAK, encoding="ascii")
    call()
    (peak,) = (line.split()[1] for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
    return int(peak) * 1024


def absent(device: str) -> bool:
    """True if this machine lacks the device, "cpu" or "cuda"."""
    return device == "cuda" and not torch.cuda.is_available()
