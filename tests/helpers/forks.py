"""Runs the command line in separate processes that a test can kill. They fork from a process with torch imported."""

from __future__ import annotations

import multiprocessing
import os
import resource
import socket
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.helpers.preloaded"])


def start(
    folder: Path, *overrides: str, largest: int = resource.RLIM_INFINITY, **environment: str
) -> ForkServerProcess:
    """Starts ``python -m experiments.evaluate results_dir=FOLDER ...``, which prints to `log`.

    Args:
        folder: results_dir.
        overrides: further arguments.
        largest: size limit of files in bytes.
        environment: variables to set.
    """
    process = CONTEXT.Process(target=_evaluate, args=(folder, overrides, largest, environment))
    process.start()
    return process


def start_all(folder: Path, count: int, *overrides: str) -> list[ForkServerProcess]:
    """Starts processes that find one another by environment variables, as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    return [start(folder, *overrides, **place, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(count)]


def end_all(processes: list[ForkServerProcess]) -> list[int | None]:
    """Waits for the processes, and returns their exit statuses."""
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


def log(folder: Path, rank: str = "0") -> Path:
    """Path of the output of the latest run in a folder."""
    return folder.with_name(f"{folder.name}.{rank}.log")


def _evaluate(folder: Path, overrides: tuple[str, ...], largest: int, environment: dict[str, str]) -> None:
    import torch

    from experiments.evaluate import main

    os.environ.update(environment)
    torch.set_num_threads(1)
    folder.parent.mkdir(parents=True, exist_ok=True)
    output = os.open(log(folder, environment.get("RANK", "0")), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    sys.argv = ["evaluate", f"results_dir={folder}", *overrides]
    main()
