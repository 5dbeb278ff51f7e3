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


def test_a_batch_is_halved_until_it_fits() -> None:
    tried: list[tuple[str, int]] = []

    def work(items: Sequence[str], size: int, last_try: bool) -> None:
        tried.append(("".join(items), size))
        assert not last_try
        if size > 2:
            raise torch.OutOfMemoryError

    assert work_in_halves("abcdefg", 7, work, ERRORS) == 4
    assert tried == [("abcdefg", 7), ("abc", 4), ("a", 2), ("bc", 2), ("defg", 4), ("de", 2), ("fg", 2)]


def test_the_size_of_an_incomplete_batch_is_halved_too() -> None:
    tried: list[tuple[str, int, bool]] = []

    def work(items: Sequence[str], size: int, last_try: bool) -> None:
        tried.append(("".join(items), size, last_try))
        if not last_try:
            raise torch.OutOfMemoryError

    assert work_in_halves("a", 4, work, ERRORS) == 2
    assert tried == [("a", 4, False), ("a", 2, False), ("a", 1, False), ("a", 1, True)]


def test_one_item_is_tried_once_more() -> None:
    tried: list[tuple[str, bool]] = []

    def work(items: Sequence[str], size: int, last_try: bool) -> None:
        assert size == 3, "memory was enough: another error is no lack of it"
        tried.append(("".join(items), last_try))
        if "b" in items and not last_try:
            raise ValueError

    assert work_in_halves("abc", 3, work, ERRORS) == 3
    assert tried == [("abc", False), ("a", False), ("bc", False), ("b", False), ("b", True), ("c", False)]


def test_other_errors_stop_the_work() -> None:
    def work(items: Sequence[str], size: int, last_try: bool) -> None:
        raise KeyError("a fault of ours")

    with pytest.raises(KeyError):
        work_in_halves("ab", 2, work, ERRORS)


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
        alive.append([each() is not None for each in held])
        batch = allocate()
        if len(items) > 1:
            try:
                inner()
            except RuntimeError as error:
                context = allocate()
                raise torch.OutOfMemoryError(str((batch, context))) from error

    assert work_in_halves("abcd", 4, work, ERRORS) == 2
    assert [len(each) for each in alive] == [0, 3, 6, 7, 8, 11, 12]
    assert not any(any(each) for each in alive)


@pytest.mark.parametrize("text", NO_MEMORY)
def test_every_message_of_torch_about_memory_is_recognised(text: str) -> None:
    with pytest.raises(torch.OutOfMemoryError, match="tried to"), memory_errors():
        raise RuntimeError(f"{text}: tried to allocate 1 GiB")
    with pytest.raises(RuntimeError, match="another"), memory_errors():
        raise RuntimeError("another fault")
