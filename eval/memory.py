"""What to do when memory runs out: recognise the error, free what the failed work held, try a part of it.

`work_in_halves` is all that the run loop needs.
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

# Texts of torch's plain errors when its CPU allocator, CUDA, cuBLAS or cuDNN gets no memory.
NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")


class BatchWork(Protocol[Item_contra]):
    """Work on a batch that may be done in parts."""

    def __call__(self, items: Sequence[Item_contra], /, last_try: bool) -> None:
        """Works on the items.

        Args:
            items: at least one.
            last_try: no further try follows, so a failure must be recorded and not raised.
        """


def work_in_halves(batch: Sequence[Item], work: BatchWork[Item], errors: Errors) -> bool:
    """Works on a batch; if that fails, on each half of it, and so on. A single item is tried once more.

    Nothing of a failed try is held when the next one starts: no exception, no tensor of its frames, no cached block.

    Args:
        batch: items, in the order in which they are worked on.
        work: called with parts of the batch.
        errors: those that `work` may raise.

    Returns:
        Whether memory was enough for each try.
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
    """Works on the items. Returns the class of the error, whose object and frames are gone by then."""
    try:
        with memory_errors():
            work(items, last_try)
    except errors as error:
        release(error)
        return type(error)
    return None


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raises torch.OutOfMemoryError for each error by which torch says that memory ran out."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or not any(text in str(error) for text in NO_MEMORY):
            raise
        raise torch.OutOfMemoryError(str(error)).with_traceback(error.__traceback__) from None


def release(error: BaseException) -> None:
    """Frees the tensors that the frames of an error and of its causes hold, and the allocator's cached blocks."""
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is not None:
            traceback.clear_frames(link.__traceback__)
            chain += [link.__cause__, link.__context__]
            link.__cause__ = link.__context__ = None
    gc.collect()  # cycles, such as those of modules and their hooks, hold tensors too
    torch.cuda.empty_cache()
