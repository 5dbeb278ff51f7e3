"""Counts the cores that this process may use, and the processes that share them. Imports no torch."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores that this process may use, at least 1.

    The fewest of: cores of the machine, affinity mask, CPU quota of the container, the environment variable
    SLURM_CPUS_PER_TASK.
    """
    import joblib  # comes with scikit-learn

    task = os.environ.get("SLURM_CPUS_PER_TASK", "")
    cores = int(joblib.cpu_count())
    return max(1, min(cores, int(task))) if task.isdecimal() else cores


def worker_count(workers: str) -> int:
    """Number of processes that ``workers=auto`` or ``workers=N`` means, at most `usable_cores`.

    Under torchrun, the processes on one machine share its cores.
    """
    if workers == "1":
        return 1
    beside = os.environ.get("LOCAL_WORLD_SIZE", "1")
    cores = max(1, usable_cores() // max(1, int(beside) if beside.isdecimal() else 1))
    return cores if workers == "auto" else min(int(workers), cores)
