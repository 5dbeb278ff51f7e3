"""Divides the pictures of a run among the processes that torchrun starts. Imports torch only under torchrun."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import count

from eval.config import ConfigError

logger = logging.getLogger(__name__)

# Environment variables through which the processes of torchrun find each other, in addition to MASTER_ADDR.
NUMBERS_OF_TORCHRUN = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT")

# A process may work for days longer than another. If one dies, torchrun ends the others.
LONGEST_WAIT = timedelta(days=100)


class Meetings:
    """Synchronises the processes of a run. All processes must call the same methods in the same order.

    Uses torchrun's key-value store. A process group would start threads, and a thread that frees a tensor while Python
    shuts down aborts the process.

    If the process that holds the store has ended, the methods end this process, too, without a message: the other
    process, or torchrun, has said why.
    """

    def __init__(self) -> None:
        from torch import distributed

        self.store, self.index, self.count = next(distributed.rendezvous("env://", timeout=LONGEST_WAIT))
        self._numbers = count()

    def wait(self) -> None:
        """Waits until all processes have called this."""
        with _ends_with_the_others():
            self.store.barrier(f"meeting {next(self._numbers)}", self.count)

    def broadcast(self, number: int) -> int:
        """Returns the number that process 0 passes; waits for it."""
        key = f"number {next(self._numbers)}"
        with _ends_with_the_others():
            if self.index == 0:
                self.store.set(key, str(number))
            number = int(self.store.get(key))
        self.wait()  # process 0 may host the store, so it must not end before the others have read
        return number


@contextmanager
def _ends_with_the_others() -> Iterator[None]:
    """Context in which a lost connection ends the process."""
    from torch.distributed import DistNetworkError

    try:
        yield
    except DistNetworkError:
        sys.exit(1)


# All runs of a process (`hydra/launcher=basic` has several) use the same store.
_meetings = cache(Meetings)


@dataclass(frozen=True)
class Shard:
    """This process's share of a run.

    Attributes:
        index: number of this process, 0..count-1.
        count: number of processes.
        alone: True if the user named the share (``shard=i/n``): the other processes are not reached, and each writes
            tables of what is recorded. Otherwise only process 0 writes tables and prints.
    """

    index: int = 0
    count: int = 1
    alone: bool = False

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
        if self.count > 1 and not self.alone:
            _meetings().wait()

    def broadcast(self, number: int) -> int:
        """Returns the number that the leading process passes; waits for it."""
        return _meetings().broadcast(number) if self.count > 1 and not self.alone else number

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
    count = os.environ.get("WORLD_SIZE", "")
    if share is not None:
        if count not in ("", "1"):
            raise ConfigError("shard: torchrun divides the pictures itself; leave shard out, or do not use torchrun")
        return _named_share(share)
    if count in ("", "1"):
        return Shard()
    wrong = [name for name in NUMBERS_OF_TORCHRUN if not os.environ.get(name, "").isdecimal()]
    if wrong or not os.environ.get("MASTER_ADDR"):
        raise ConfigError(
            f"the environment variable WORLD_SIZE is {count}, but these are missing or not numbers: "
            f"{', '.join(wrong or ['MASTER_ADDR'])}; start several processes with torchrun, or unset WORLD_SIZE"
        )
    try:
        meetings = _meetings()
    except Exception as error:  # torch raises ValueError, RuntimeError or its own classes
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ConfigError(f"the {count} processes cannot meet at {place} ({error}); use torchrun") from error
    return Shard(meetings.index, meetings.count)


def _named_share(share: str) -> Shard:
    match = re.fullmatch(r"(\d+)/(\d+)", share)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"shard: must be i/n with 1 <= i <= n, such as 2/4, got {share}")
    return Shard(int(match[1]) - 1, int(match[2]), alone=True)
