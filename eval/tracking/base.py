"""Trackers copy the results of a run to another place, such as wandb, while it runs. They do not change any result."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from diffseg.texts import on_one_line
from eval.protocols import ProtocolName
from eval.results.row_results import RowResults
from eval.storage.records import Record

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFacts:
    """Facts about a run, for trackers.

    Attributes:
        folder: the existing results folder.
        rows: its rows, in the order of the tables, without records.
        classes: class names; the position is the label.
        report: protocols to show.
        pictures: number of pictures in the run.
        sweep: folder of the sweep if the run is a job; None for a single run.
        point: the values that distinguish the job from the other jobs of its sweep.
        shared: key of a row that other jobs of the sweep also have -> True if an earlier job has it.
    """

    folder: Path
    rows: Sequence[RowResults]
    classes: Sequence[str]
    report: Sequence[ProtocolName]
    pictures: int
    sweep: Path | None = None
    point: str = ""
    shared: Mapping[str, bool] = field(default_factory=dict)


class Tracking(Protocol):
    """Tracks one run."""

    def record(self, record: Record) -> None:
        """Receives each record of the run's rows: first those of earlier processes, then new ones."""
        ...

    def finish(self) -> None:
        """Called when the tables and panels have been written."""
        ...

    def close(self, failed: bool) -> None:
        """Called when the run has ended.

        Args:
            failed: True if the run was interrupted or stopped by an error.
        """
        ...


class Tracker(Protocol):
    """A dataclass named by a ``conf/tracker/*.yaml``."""

    def open(self, run: RunFacts) -> Tracking:
        """Begins to track a run."""
        ...


class NoTracking:
    """Tracking that does nothing."""

    def record(self, record: Record) -> None:
        """Does nothing."""

    def finish(self) -> None:
        """Does nothing."""

    def close(self, failed: bool) -> None:
        """Does nothing."""


@dataclass(frozen=True)
class NoTracker:
    """Tracker that copies nothing."""

    def open(self, run: RunFacts) -> Tracking:
        """Returns tracking that does nothing."""
        return NoTracking()


class SafeTracking:
    """Tracking whose errors do not stop the run. After the first error, it warns in one line and stops tracking.

    Does not catch Ctrl+C.

    Args:
        begin: begins to track, such as ``lambda: tracker.open(...)``.
    """

    def __init__(self, begin: Callable[[], Tracking]) -> None:
        self._tracking: Tracking = NoTracking()
        self._stopped = False
        self._attempt(lambda: self._open(begin))

    def record(self, record: Record) -> None:
        """See `Tracking.record`."""
        if not self._stopped:
            self._attempt(lambda: self._tracking.record(record))

    def finish(self) -> None:
        """See `Tracking.finish`."""
        if not self._stopped:
            self._attempt(self._tracking.finish)

    def close(self, failed: bool) -> None:
        """See `Tracking.close`. Tracking that has failed is closed, too, so that it releases its resources."""
        self._attempt(lambda: self._tracking.close(failed or self._stopped))

    def _open(self, begin: Callable[[], Tracking]) -> None:
        self._tracking = begin()

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # no error of a tracker may stop the run
            if not self._stopped:
                logger.warning("tracking stopped: %s; results are unaffected", one_line(error))
            self._stopped = True


def one_line(error: Exception) -> str:
    """The message of an error on one line, or its type if it has no message."""
    return on_one_line(error) or type(error).__name__
