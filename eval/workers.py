"""Divides the pictures of a run among processes of one thread each: ``workers=auto|N``.

The parent hands out pictures, one after the other, and alone writes records. A worker decodes a picture, evaluates it
for all rows of the pass with the same code as a single process (`eval.run.work`), writes its label maps, and sends
each result when it is computed. So a killed run loses only the pictures that are being evaluated.

A worker ends when its pipe is closed, also if the parent was killed. Ctrl+C reaches the parent only, which then ends
its workers.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import groupby
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from operator import itemgetter
from pathlib import Path
from typing import Any

from datasets.base import DatasetError
from diffseg.cli.command import one_line
from eval.config import ConfigError
from eval.records import RecordError
from eval.row_progress import RowProgress
from eval.rows import RowConfig
from eval.run import Pass, work
from eval.runs import read_run
from eval.storage.files import WriteError

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Environment variables that give the libraries of a worker a single thread."""

GB = 10**9
# Peak memory measured on Linux with DINOv2-S: a worker took 0.15 GB without torch, 0.87 GB with all segmenters.
PLAIN_LIBRARIES, TORCH_LIBRARIES = 0.15 * GB, 0.7 * GB
TENSORS = 8
"""Tensors of the size of the finest attention that are in memory at once, besides the weights."""


class WorkerError(ConfigError):
    """A worker has ended before its work was done. The message is one line."""


def divide(passes: Sequence[Pass], batch_size: int | None, workers: int) -> None:
    """Evaluates pictures in several processes, and takes their results.

    Args:
        passes: passes with pictures that are left.
        batch_size: see `eval.run.evaluate`.
        workers: number of processes.

    Raises:
        WorkerError: a worker has ended, for example because memory ran out.
    """
    tasks = ((number, id) for number, current in enumerate(passes) for id in current.left)
    left = sum(len(current.left) for current in passes)
    workers = min(workers, left)
    memory = max(memory_of([progress.row for progress in current.rows]) for current in passes)
    print(f"{workers} workers of one thread, each with about {memory / GB:.1f} GB of memory", file=sys.stderr)
    rows = [[(progress.row, progress.kept, progress.again) for progress in current.rows] for current in passes]
    begun = set[int]()
    with _started(workers, passes[0].rows[0].run.folder, rows, batch_size) as connections, ExitStack() as bars:
        for connection in connections * (2 * (batch_size or 1)):  # so that no worker waits for its next picture
            _send(connection, next(tasks, None))
        while left:
            for ready in wait(connections):
                assert isinstance(ready, Connection)
                number, position, result = _receive(ready)
                if position is not None:
                    passes[number].rows[position].take(*result)
                    continue
                _send(ready, next(tasks, None))
                if number not in begun:
                    begun.add(number)
                    bars.enter_context(passes[number].bar)
                passes[number].count()
                left -= 1


def memory_of(rows: Sequence[RowConfig]) -> float:
    """About the peak memory in bytes of a worker that evaluates these rows: libraries, weights and tensors."""
    if all(row.reads_maps for row in rows):
        return PLAIN_LIBRARIES
    backbone = rows[0].backbone
    weights = sum(file.stat().st_size for file in getattr(backbone, "files", ()))
    finest = max((max(row.backbone.sides, default=0) for row in rows), default=0)
    return TORCH_LIBRARIES + weights + TENSORS * 4 * finest**4


@contextmanager
def _started(workers: int, *setup: Any) -> Iterator[list[Connection]]:
    """Context with the connections to workers, which end after the block. ``setup``: arguments of `_work`."""
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of other threads
    processes: list[SpawnProcess] = []
    connections: list[Connection] = []
    try:
        with _quiet_single_threads():
            for _ in range(workers):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, *setup), daemon=True)
                process.start()
                theirs.close()  # so that this process notices when the worker ends
                processes.append(process)
                connections.append(ours)
        yield connections
    finally:
        for connection in connections:
            connection.close()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


@contextmanager
def _quiet_single_threads() -> Iterator[None]:
    """Context in which new processes have a single thread, and ignore Ctrl+C."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        if main:
            signal.signal(signal.SIGINT, handler)


def _send(connection: Connection, task: tuple[int, str] | None) -> None:
    try:
        connection.send(task)
    except BrokenPipeError:  # `_receive` will say so
        return


def _receive(connection: Connection) -> tuple[int, int | None, Any]:
    """The next message of a worker: number of the pass, and position of a row and its result, or None twice."""
    try:
        number, position, result = connection.recv()
    except (EOFError, ConnectionResetError):
        raise WorkerError(
            "a worker has ended, perhaps because memory ran out; recorded results are kept: start the same command "
            "again, with fewer workers"
        ) from None
    if number is None:
        raise WorkerError(result)
    return number, position, result


def _work(
    connection: Connection,
    folder: Path,
    passes: Sequence[Sequence[tuple[RowConfig, frozenset[str], bool]]],
    batch_size: int | None,
) -> None:
    """Runs in a worker: evaluates the pictures that arrive until None does, or until the parent has ended.

    Args:
        connection: the parent.
        folder: the results folder.
        passes: the rows of each pass; for each row, the pictures whose label maps are kept, and `RowProgress.again`.
        batch_size: see `eval.run.evaluate`.
    """
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        run = read_run(folder)
        progress = [
            [
                RowProgress(row, run, kept, again, send=partial(_send_result, connection, number, position))
                for position, (row, kept, again) in enumerate(rows)
            ]
            for number, rows in enumerate(passes)
        ]
        for number, tasks in groupby(iter(connection.recv, None), key=itemgetter(0)):
            for _ in work(progress[number], map(itemgetter(1), tasks), "cpu", batch_size, ahead=False):
                connection.send((number, None, None))
        while True:  # until the parent closes the pipe: its other workers may still have work
            connection.recv()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        is_clear = isinstance(error, ConfigError | DatasetError | RecordError | WriteError)
        connection.send((None, None, str(error) if is_clear else one_line(error)))


def _send_result(connection: Connection, number: int, position: int, *result: Any) -> None:
    """Sends the arguments of `RowProgress.take` to the parent."""
    connection.send((number, position, result))
