"""Divides the pictures of a run: torchrun's processes, or ``shard=i/n``. Imports torch only under torchrun."""

from __future__ import annotations

import itertools
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

from eval.config import ConfigError

logger = logging.getLogger(__name__)

# Environment variables through which the processes of torchrun find each other, in addition to MASTER_ADDR.
NUMBERS_OF_TORCHRUN = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT")

# A process may work for days longer than another. If one dies, torchrun ends the others.
LONGEST_WAIT = timedelta(days=100)


@dataclass(frozen=True)
class Shard:
    """This process's share of a run.

    Attributes:
        index: number of this process, 0..count-1.
        count: number of processes.
        alone: True if the user named the share (``shard=i/n``): the other processes are not reached, and each writes
            tables of what is recorded. Otherwise only process 0 writes tables and prints.
        store: torchrun's key-value store, if it started the processes. A process group would start threads, and a
            thread that frees a tensor while Python shuts down aborts the process.
        meetings: numbers the calls of `wait` and `broadcast`, which all processes make in the same order.
    """

    index: int = 0
    count: int = 1
    alone: bool = False
    store: Any = None
    meetings: Iterator[int] = field(default_factory=itertools.count)

    @property
    def leads(self) -> bool:
        """True if this process writes tables and prints."""
        return self.alone or self.index == 0

    @property
    def number(self) -> tuple[int, int] | None:
        """Number of the share, counted from 1, and the count; None without shares."""
        return (self.index + 1, self.count) if self.count > 1 or self.alone else None

    def share(self, ids: Sequence[str]) -> Sequence[str]:
        """Every ``count``-th picture. Recorded pictures count, too, so that all processes agree on the division."""
        return ids[self.index :: self.count]

    def wait(self) -> None:
        """Waits until all processes have called this."""
        if self.store:
            with _ends_with_the_others():
                meeting = f"wait {next(self.meetings)}"
                if self.store.add(meeting, 1) == self.count:
                    self.store.set(f"{meeting} over", "")
                self.store.wait([f"{meeting} over"])

    def broadcast(self, number: int) -> int:
        """Returns the number that the leading process passes; waits for it. All processes must call this."""
        if self.store:
            key = f"number {next(self.meetings)}"
            with _ends_with_the_others():
                if self.index == 0:
                    self.store.set(key, str(number))
                number = int(self.store.get(key))
            self.wait()  # process 0 may host the store, so it must not end before the others have read
        return number

    def device(self, name: str) -> str:
        """Device of this process. ``auto`` and ``cuda`` give each process on a machine a different GPU.

        If a machine has more processes than GPUs, they share GPUs, and the leading process warns.
        """
        if name not in ("auto", "cuda") or self.count == 1 or self.alone:
            return name
        import torch

        if not torch.cuda.is_available():
            return name
        gpus, processes = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", self.count))
        if processes > gpus and self.leads:
            logger.warning(
                "torchrun started %d processes on this machine, which has %d GPU%s: processes that share a GPU run no "
                "faster; use --nproc-per-node %d",
                *(processes, gpus, "s" * (gpus > 1), gpus),
            )
        return f"cuda:{int(os.environ['LOCAL_RANK']) % gpus}"


def join_shards(share: str | None = None) -> Shard:
    """Waits for the other processes that torchrun started. Without torchrun, this process is the only one.

    Args:
        share: ``i/n``, the share that the user named, counted from 1.

    Raises:
        ConfigError: WORLD_SIZE is set but torchrun's other variables are not, or the processes cannot connect; or
            ``share`` is no share.
    """
    processes = os.environ.get("WORLD_SIZE", "")
    if share is not None:
        if processes not in ("", "1"):
            raise ConfigError("shard: torchrun divides the pictures itself; leave shard out, or do not use torchrun")
        match = re.fullmatch(r"(\d+)/(\d+)", share)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"shard: must be i/n with 1 <= i <= n, such as 2/4, got {share}")
        return Shard(int(match[1]) - 1, int(match[2]), alone=True)
    if processes in ("", "1"):
        return Shard()
    wrong = [name for name in NUMBERS_OF_TORCHRUN if not os.environ.get(name, "").isdecimal()]
    if wrong or not os.environ.get("MASTER_ADDR"):
        raise ConfigError(
            f"the environment variable WORLD_SIZE is {processes}, but these are missing or not numbers: "
            f"{', '.join(wrong or ['MASTER_ADDR'])}; start several processes with torchrun, or unset WORLD_SIZE"
        )
    try:
        store, index, number, meetings = _rendezvous()
    except Exception as error:  # torch raises ValueError, RuntimeError or its own classes
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ConfigError(f"the {processes} processes cannot meet at {place} ({error}); use torchrun") from error
    return Shard(index, number, store=store, meetings=meetings)


@cache  # all runs of a process (`hydra/launcher=basic` has several) use the same store
def _rendezvous() -> tuple[Any, int, int, Iterator[int]]:
    """torchrun's store, number of this process, number of processes, and numbers of their meetings."""
    from torch import distributed

    store, index, number = next(distributed.rendezvous("env://", timeout=LONGEST_WAIT))
    return store, index, number, itertools.count()


@contextmanager
def _ends_with_the_others() -> Iterator[None]:
    """Context that ends this process without a message if the process that holds the store has ended.

    The other process, or torchrun, has said why.
    """
    from torch.distributed import DistNetworkError

    try:
        yield
    except DistNetworkError:
        sys.exit(1)
