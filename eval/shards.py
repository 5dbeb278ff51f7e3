"""Shards: the processes that torchrun starts divide the pictures of a run among themselves."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

# One process may have work for days after another has ended; torchrun ends all of them when one dies.
LONGEST_WAIT = timedelta(days=100)


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
            distributed.barrier()

    def agree(self, number: int) -> int:
        """The number that the leading process gives, once it gives it."""
        if self.count == 1:
            return number
        agreed = torch.tensor(number)
        distributed.broadcast(agreed, src=0)
        return int(agreed)

    def device(self, name: str) -> str:
        """With several processes, ``auto`` is the GPU of this one's number; where GPUs are fewer, some share one."""
        if name != "auto" or self.count == 1 or not torch.cuda.is_available():
            return name
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"


def join_shards() -> Shard:
    """Meets the other processes that torchrun started; without torchrun, this process is the only one."""
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        return Shard()
    if not distributed.is_initialized():  # the next job of a multirun finds it so
        distributed.init_process_group("gloo", timeout=LONGEST_WAIT)
        atexit.register(distributed.destroy_process_group)  # its threads must have ended before the process does
    return Shard(distributed.get_rank(), count)
