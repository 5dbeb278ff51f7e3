"""Handles running out of memory: recognises the error, frees the memory of the failed work, and tries smaller parts.

The run loop calls `work_in_halves`.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch

from diffseg.backbones.device import NO_MEMORY

Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)
Errors = tuple[type[Exception], ...]


class BatchWork(Protocol[Item_contra]):
    """Work on a batch that can be done in parts."""

    def __call__(self, items: Sequence[Item_contra], /, size: int, last_try: bool) -> None:
        """Works on the items.

        Args:
            items: 1 to ``size`` items.
            size: number of items for which the work may take memory.
            last_try: True if no other try follows. The work must then record a failure instead of raising it.
        """


def work_in_halves(batch: Sequence[Item], size: int, work: BatchWork[Item], errors: Errors) -> int:
    """Works on a batch; if that fails, on each half of it, and so on.

    If memory runs out, the size of the next tries is halved, too. A single item whose size cannot be halved is tried
    once more. Before the next try, the failed try's exception, tensors and cached blocks are freed.

    Args:
        batch: up to ``size`` items, in order.
        size: number of items for which ``work`` may take memory in the first try.
        work: called with parts of the batch.
        errors: classes of the errors after which another try is made.

    Returns:
        The size for the next batch: half of ``size``, rounded up, if a try ran out of memory, else ``size``.
    """
    enough = True
    pending = [(batch, size, False)] if batch else []
    while pending:
        items, room, last_try = pending.pop()
        failure = _try(work, items, room, last_try, errors)
        if failure is None:
            continue
        smaller = room
        if issubclass(failure, torch.OutOfMemoryError):
            enough, smaller = False, _half(room)
        if len(items) == 1:
            pending.append((items, smaller, smaller == room))
        else:
            middle = len(items) // 2
            pending += [(items[middle:], smaller, False), (items[:middle], smaller, False)]
    return size if enough else _half(size)


def _half(size: int) -> int:
    return (size + 1) // 2


def _try(
    work: BatchWork[Item], items: Sequence[Item], size: int, last_try: bool, errors: Errors
) -> type[Exception] | None:
    """Works on the items. Returns the class of the error, if any. The error and its frames are freed."""
    try:
        with memory_errors():
            work(items, size, last_try)
    except errors as error:
        release(error)
        return type(error)
    return None


@contextmanager
def memory_errors() -> Iterator[None]:
    """Context that turns torch's other errors about missing memory into torch.OutOfMemoryError."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or not any(text in str(error) for text in NO_MEMORY):
            raise
        raise torch.OutOfMemoryError(str(error)).with_traceback(error.__traceback__) from None


def release(error: BaseException) -> None:
    """Frees the tensors in the frames of an error and of its causes, and the allocator's cached blocks."""
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is not None:
            traceback.clear_frames(link.__traceback__)
            chain += [link.__cause__, link.__context__]
            link.__cause__ = link.__context__ = None
    gc.collect()  # reference cycles, such as modules with hooks, keep tensors alive, too
    torch.cuda.empty_cache()
