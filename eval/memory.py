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

Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)
Errors = tuple[type[Exception], ...]

# Texts in the RuntimeErrors that torch raises when its CPU allocator, CUDA, cuBLAS or cuDNN gets no memory.
NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")


class BatchWork(Protocol[Item_contra]):
    """Work on a batch that can be done in parts."""

    def __call__(self, items: Sequence[Item_contra], /, last_try: bool) -> None:
        """Works on the items.

        Args:
            items: at least one.
            last_try: True if no other try follows. The work must then record a failure instead of raising it.
        """


def work_in_halves(batch: Sequence[Item], work: BatchWork[Item], errors: Errors) -> bool:
    """Works on a batch; if that fails, on each half of it, and so on. A single item is tried once more.

    Before the next try, everything of the failed one is freed: its exception, the tensors of its frames, and the
    allocator's cached blocks.

    Args:
        batch: items, in order.
        work: called with parts of the batch.
        errors: classes of the errors after which another try is made.

    Returns:
        True if no try ran out of memory.
    """
    enough = True
    pending = [(batch, False)] if batch else []
    while pending:
        items, last_try = pending.pop()
        failure = _try(work, items, last_try, errors)
        if failure is None:
            continue
        enough = enough and not issubclass(failure, torch.OutOfMemoryError)
        if len(items) == 1:
            pending.append((items, True))
        else:
            middle = len(items) // 2
            pending += [(items[middle:], False), (items[:middle], False)]
    return enough


def _try(work: BatchWork[Item], items: Sequence[Item], last_try: bool, errors: Errors) -> type[Exception] | None:
    """Works on the items. Returns the class of the error, if any. The error and its frames are freed."""
    try:
        with memory_errors():
            work(items, last_try)
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
