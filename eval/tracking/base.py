"""Trackers mirror a run elsewhere while it goes on. No number depends on them: they read what the result files hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from eval.protocols import ProtocolName
from eval.records import Record
from eval.rows import Row

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFacts:
    """A run that is to be mirrored.

    Attributes:
        folder: of its results, which exists.
        rows: its rows, in the order of the tables.
        classes: names; the position is the label.
        report: scores to show.
        pictures: how many are evaluated.
        sweep: folder of the sweep of which the run is a job, None where it is alone.
        point: what tells it from the sweep's other jobs.
        shared: keys of rows that other jobs of the sweep have as well, and whether one of those mirrors it.
    """

    folder: Path
    rows: Sequence[Row]
    classes: Sequence[str]
    report: Sequence[ProtocolName]
    pictures: int
    sweep: Path | None = None
    point: str = ""
    shared: Mapping[str, bool] = field(default_factory=dict)


class Tracking(Protocol):
    """The mirror of one run."""

    def record(self, record: Record) -> None:
        """Is shown each image record of the run's rows: those of earlier processes, then new ones as they come."""
        ...

    def finish(self) -> None:
        """Is told that the tables and panels have been written."""
        ...

    def close(self, failed: bool) -> None:
        """Is told that the run has ended, however it did.

        Args:
            failed: it was interrupted, or an error stopped it.
        """
        ...


class Tracker(Protocol):
    """A dataclass named by a ``conf/tracker/*.yaml``."""

    def open(self, run: RunFacts) -> Tracking:
        """Begins to mirror a run."""
        ...


class NoTracking:
    """The mirror of a run that has none."""

    def record(self, record: Record) -> None:
        """Does nothing."""

    def finish(self) -> None:
        """Does nothing."""

    def close(self, failed: bool) -> None:
        """Does nothing."""


@dataclass(frozen=True)
class NoTracker:
    """Results stay in files."""

    def open(self, run: RunFacts) -> Tracking:
        """Opens nothing."""
        return NoTracking()


class SafeTracking:
    """A mirror that cannot harm the run: its first failure is told in one line, and then it is left alone.

    Interrupts pass.

    Args:
        begin: opens the mirror, such as ``lambda: tracker.open(...)``.
    """

    def __init__(self, begin: Callable[[], Tracking]) -> None:
        self._mirror: Tracking = NoTracking()
        self._stopped = False
        self._attempt(lambda: self._open(begin))

    def record(self, record: Record) -> None:
        """See `Tracking.record`."""
        if not self._stopped:
            self._attempt(lambda: self._mirror.record(record))

    def finish(self) -> None:
        """See `Tracking.finish`."""
        if not self._stopped:
            self._attempt(self._mirror.finish)

    def close(self, failed: bool) -> None:
        """See `Tracking.close`. A mirror that has failed is closed too, as failed: it lets go of what it holds."""
        self._attempt(lambda: self._mirror.close(failed or self._stopped))

    def _open(self, begin: Callable[[], Tracking]) -> None:
        self._mirror = begin()

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # whatever it is: no result may depend on a mirror
            if not self._stopped:
                logger.warning("tracking stopped: %s; results are unaffected", one_line(error))
            self._stopped = True


def one_line(error: Exception) -> str:
    """An error as one line; its type where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
