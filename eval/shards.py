"""Shards: the processes that torchrun starts divide the pictures of a run among themselves."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import count

import torch
from torch import distributed

from eval.config import ConfigError

logger = logging.getLogger(__name__)

# Environment variables by which the processes that torchrun starts find each other; besides, MASTER_ADDR.
NUMBERS_OF_TORCHRUN = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT")

# One process may have work for days after another has ended; torchrun ends all of them when one dies.
LONGEST_WAIT = timedelta(days=100)


class Meetings:
    """Where the processes of a run wait for one another: all must come to the same meetings in the same order.

    torchrun's own key-value store is all it takes. A process group would start threads, and one that still frees a
    tensor while Python shuts down aborts the process.
    """

    def __init__(self) -> None:
        self.store, self.index, self.count = next(distributed.rendezvous("env://", timeout=LONGEST_WAIT))
        self._numbers = count()

    def wait(self) -> None:
        """Until all processes have come."""
        self.store.barrier(f"meeting {next(self._numbers)}", self.count)

    def broadcast(self, number: int) -> int:
        """Number that process 0 passes; waits until it has."""
        key = f"number {next(self._numbers)}"
        if self.index == 0:
            self.store.set(key, str(number))
        number = int(self.store.get(key))
        self.wait()  # process 0 may keep the store: it must not end before the others have read
        return number


# The next job of a multirun goes on with the same store.
_meetings = cache(Meetings)


@dataclass(frozen=True)
class Shard:
    """This process among those of a run.

    Attributes:
        index: 0..count-1. Number 0 leads: it alone writes tables and prints.
        count: processes in all.
    """

    index: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes tables and prints."""
        return self.index == 0

    def share(self, ids: Sequence[str]) -> Sequence[str]:
        """Every ``count``-th picture, whatever is recorded already: all processes must divide them alike."""
        return ids[self.index :: self.count]

    def wait(self) -> None:
        """Waits until all processes have come here."""
        if self.count > 1:
            _meetings().wait()

    def broadcast(self, number: int) -> int:
        """The number that the leading process passes; waits until it has."""
        return _meetings().broadcast(number) if self.count > 1 else number

    def device(self, name: str) -> str:
        """Device of this process: ``auto`` and ``cuda`` are the GPU of its number on this machine.

        Processes share a GPU if there are more of them than GPUs; the first says so.
        """
        if name not in ("auto", "cuda") or self.count == 1 or not torch.cuda.is_available():
            return name
        gpus, processes = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", self.count))
        if processes > gpus and self.leads:
            logger.warning(
                "torchrun started %d processes on this machine, which has %d GPU%s: some share one, and run no faster; "
                "use --nproc-per-node %d",
                *(processes, gpus, "s" * (gpus > 1), gpus),
            )
        return f"cuda:{int(os.environ['LOCAL_RANK']) % gpus}"


def join_shards() -> Shard:
    """Meets the other processes that torchrun started; without torchrun, this process is the only one.

    Raises:
        ConfigError: WORLD_SIZE was not set by torchrun: the other variables of torchrun are missing.
    """
    count = os.environ.get("WORLD_SIZE", "")
    if count in ("", "1"):
        return Shard()
    wrong = [name for name in NUMBERS_OF_TORCHRUN if not os.environ.get(name, "").isdecimal()]
    if wrong or not os.environ.get("MASTER_ADDR"):
        raise ConfigError(
            f"the environment variable WORLD_SIZE is {count}, but these are missing or no numbers: "
            f"{', '.join(wrong or ['MASTER_ADDR'])}; start several processes with torchrun, or unset WORLD_SIZE"
        )
    try:
        meetings = _meetings()
    except Exception as error:  # torch raises its own, ValueError and RuntimeError
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ConfigError(f"the {count} processes cannot meet at {place} ({error}); use torchrun") from error
    return Shard(meetings.index, meetings.count)
