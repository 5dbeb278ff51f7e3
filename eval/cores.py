"""Counts the cores that this process may use, and the processes that share them. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores that this process may use, at least 1.

    The fewest of: cores of the machine, affinity mask, CPU quota of the control groups (containers), the environment
    variable SLURM_CPUS_PER_TASK.
    """
    counts = [os.cpu_count() or 1, *_quotas()]
    if hasattr(os, "sched_getaffinity"):  # Linux
        counts.append(len(os.sched_getaffinity(0)))
    task = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if task.isdecimal():
        counts.append(int(task))
    return max(1, min(counts))


def _quotas() -> Iterator[int]:
    """CPU quotas of the control groups of this process, in cores, rounded up."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in groups:
        _, controllers, path = line.split(":", 2)
        own = CGROUPS / controllers / path.lstrip("/")
        # In a container, the files of its group lie at the root.
        for folder in dict.fromkeys([own, *own.parents, CGROUPS / "cpu"]):
            if folder.is_relative_to(CGROUPS):
                yield from _quota(folder)


def _quota(folder: Path) -> Iterator[int]:
    """Quota in the files of a group: ``cpu.max``, or those of the first version of control groups."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    except (OSError, ValueError):
        return
    if quota.isdecimal() and period.isdecimal():  # not max, not -1
        yield ceil(int(quota) / int(period))


def worker_count(workers: str) -> int:
    """Number of processes that ``workers=auto`` or ``workers=N`` means, at most `usable_cores`.

    Under torchrun, the processes on one machine share its cores.

    Raises:
        ValueError: the text is neither ``auto`` nor a number from 1.
    """
    check_workers(workers)
    beside = os.environ.get("LOCAL_WORLD_SIZE", "1")
    cores = max(1, usable_cores() // max(1, int(beside) if beside.isdecimal() else 1))
    return cores if workers == "auto" else min(int(workers), cores)


def check_workers(workers: str) -> None:
    """Raises ValueError unless a text is ``auto`` or a number from 1."""
    if workers != "auto" and not (workers.isdecimal() and int(workers)):
        raise ValueError(f"workers: must be auto or a number of processes, at least 1, got {workers}")
