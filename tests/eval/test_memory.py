"""Work that runs out of memory is done in halves, after the memory of the failed try is freed."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import pytest
import torch

from diffseg.backbones.device import NO_MEMORY
from eval.batches import memory_errors, work_in_halves

ERRORS = (torch.OutOfMemoryError, ValueError)


class Held:
    """Stands for a tensor."""


def test_the_size_of_an_incomplete_batch_is_halved_too() -> None:
    tried: list[tuple[str, int, bool]] = []

    def work(items: Sequence[str], size: int, last_try: bool) -> None:
        tried.append(("".join(items), size, last_try))
        if not last_try:
            raise torch.OutOfMemoryError

    assert work_in_halves("a", 4, work, ERRORS) == 2
    assert tried == [("a", 4, False), ("a", 2, False), ("a", 1, False), ("a", 1, True)]


def test_nothing_of_a_failed_try_is_held_when_the_next_starts() -> None:
    """Frames, causes, contexts and cycles can hold the tensors of a failed batch."""
    held: list[weakref.ref[Held]] = []
    alive: list[list[bool]] = []

    def allocate() -> Held:
        held.append(weakref.ref(tensor := Held()))
        return tensor

    def inner() -> None:
        tensor = allocate()
        cycle = [tensor]
        cycle.append(cycle)  # type: ignore[arg-type]
        raise RuntimeError(f"CUDA error: out of memory, {len(cycle)}")

    def work(items: Sequence[str], size: int, last_try: bool) -> None:
        alive.append([tensor() is not None for tensor in held])
        batch = allocate()
        if len(items) > 1:
            try:
                inner()
            except RuntimeError as error:
                context = allocate()
                raise torch.OutOfMemoryError(str((batch, context))) from error

    assert work_in_halves("abcd", 4, work, ERRORS) == 2
    assert [len(before) for before in alive] == [0, 3, 6, 7, 8, 11, 12]
    assert not any(any(before) for before in alive)


@pytest.mark.parametrize("text", NO_MEMORY)
def test_every_message_of_torch_about_memory_is_recognised(text: str) -> None:
    with pytest.raises(torch.OutOfMemoryError, match="tried to"), memory_errors():
        raise RuntimeError(f"{text}: tried to allocate 1 GiB")
    with pytest.raises(RuntimeError, match="another"), memory_errors():
        raise RuntimeError("another fault")
