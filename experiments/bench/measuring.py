"""What a line of the benchmark is, and how time and memory are measured."""

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
# Linux: the peak of a process's memory can be read, and reset.
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        name: what ``--only`` calls its group, then what tells it from the others.
        unit: of ``ours``, ``theirs``, ``goal`` and ``floor``.
        ours: this code's figure; None: unmeasured, and ``note`` says why.
        theirs: that of the alternative measured in the same run.
        against: which alternative that is.
        goal: ours should be at most that, or at least where ``more_is_better``.
        goal_ratio: ours should be at most that many times theirs.
        floor: what the unavoidable part alone takes, measured in the same run.
        note: what else there is to say.
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
        """Whether the goal is reached; None without goal or figure."""
        if self.ours is None:
            return None
        if self.goal is not None:
            return self.ours >= self.goal if self.more_is_better else self.ours <= self.goal
        if self.goal_ratio is not None and self.ratio is not None:
            return self.ratio <= self.goal_ratio
        return None


@dataclass(frozen=True)
class Settings:
    """What all lines are measured with.

    Attributes:
        quick: smaller inputs: shows that the lines run, not how fast.
        repeats: of each timing; the median counts.
        golden: folder of reference results of the authors' code.
    """

    quick: bool = False
    repeats: int = 5
    golden: Path = GOLDEN


def seconds(
    calls: Mapping[str, Callable[[], Any]], repeats: int, device: str = "cpu", warm_up: bool = True
) -> dict[str, float]:
    """Median time of each call: once to warm up, then all of them in turn, so that what slows the machine slows all."""
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
    """Largest memory during the call: of the process on the CPU (Linux), of torch's tensors on CUDA; None: unknown."""
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
    """Whether this machine lacks the device, "cpu" or "cuda"."""
    return device == "cuda" and not torch.cuda.is_available()
