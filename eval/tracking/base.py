"""`Tracking` computes the scores to log, and lets no error of a tracker stop a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from diffseg.texts import on_one_line
from eval.records import Record
from eval.results.columns import SCORES
from eval.runs import Row
from eval.tracking.scores import RunningScores

logger = logging.getLogger(__name__)


class RowTracker(Protocol):
    """Tracks one row."""

    def record(self, scores: Mapping[str, Any], live: bool) -> None:
        """Receives `RunningScores.add` of a picture. ``live``: False if an earlier process may have logged it."""

    def finish(self, final: Mapping[str, float], panels: Sequence[Path], per_class: pd.DataFrame | None) -> None:
        """Receives what `Tracking.finish` gets."""

    def close(self, failed: bool) -> None:
        """Releases everything. ``failed``: the run was interrupted or stopped by an error."""


class Tracker(Protocol):
    """A frozen dataclass named by a ``conf/tracker/*.yaml``."""

    def start(self, row: Row, name: str, folder: Path, token: str) -> RowTracker | None:
        """Begins to track a row; None: it shall not be tracked.

        Args:
            row: the row.
            name: its name, which no other row of the run has.
            folder: the existing results folder.
            token: `eval.runs.Run.token`, which tells the folder from one that had its place before.
        """


@dataclass(frozen=True)
class NoTracker:
    """Tracker that copies nothing."""

    def start(self, row: Row, name: str, folder: Path, token: str) -> None:
        """Does nothing."""


class Tracking:
    """Tracks the rows of a run. After the first error of the tracker, it warns in one line and stops tracking.

    Lets Ctrl+C through.

    Args:
        tracker: the tracker of the configuration.
        folder, token: as in `Tracker.start`.
    """

    def __init__(self, tracker: Tracker, folder: Path, token: str) -> None:
        # Absolute: a later upload from another folder finds the files.
        self._tracker, self._folder, self._token = tracker, folder.resolve(), token
        self._rows: dict[str, tuple[RowTracker, RunningScores]] = {}
        self._stopped = False

    def start(self, row: Row, name: str) -> None:
        """Begins to track a row, and shows its records so far to the tracker. Arguments as in `Tracker.start`."""
        self._attempt(lambda: self._start(row, name))

    def record(self, row: Row, record: Record) -> None:
        """Logs a new record of a row."""
        self._attempt(lambda: self._record(row, record))

    def finish(
        self, row: Row, final: Mapping[str, float], panels: Sequence[Path] = (), per_class: pd.DataFrame | None = None
    ) -> None:
        """Logs what is known only at the end of a run.

        Args:
            row: a row that has been started.
            final: name -> score, see `final_scores`.
            panels: pictures to show, the overview first.
            per_class: the row's lines of ``per_class.csv``.
        """
        if row.key in self._rows:
            self._attempt(lambda: self._rows[row.key][0].finish(final, panels, per_class))

    def close(self, failed: bool = False) -> None:
        """Ends the tracking. ``failed``: the run was interrupted or stopped by an error."""
        failed = failed or self._stopped
        for tracked, _ in self._rows.values():
            try:
                tracked.close(failed)
            except Exception as error:  # the other rows are closed, too
                self._stop(error)

    def _start(self, row: Row, name: str) -> None:
        tracked = None if row.key in self._rows else self._tracker.start(row, name, self._folder, self._token)
        if tracked is None:
            return
        scores = RunningScores(row)
        self._rows[row.key] = tracked, scores
        for record in row.records:
            tracked.record(scores.add(record), live=False)

    def _record(self, row: Row, record: Record) -> None:
        if row.key in self._rows:
            tracked, scores = self._rows[row.key]
            tracked.record(scores.add(record), live=True)

    def _attempt(self, step: Callable[[], None]) -> None:
        if not self._stopped:
            try:
                step()
            except Exception as error:  # no error of a tracker may stop the run
                self._stop(error)

    def _stop(self, error: Exception) -> None:
        if not self._stopped:
            logger.warning("tracking stopped: %s; results are unaffected", one_line(error))
        self._stopped = True


def final_scores(lines: pd.DataFrame) -> dict[str, float]:
    """The scores of a finished row under the names that trackers log.

    Args:
        lines: the row's lines of `eval.runs.Run.table`, one for each protocol.

    Returns:
        ``final/images``, ``final/failed``, ``final/segments``, ``final/seconds_per_image``, and
        ``final/PROTOCOL/SCORE`` for every other score of ``summary.csv``, with the ends of its interval. Empty cells
        are left out.
    """
    first, *_ = rows = lines.to_dict("records")
    final = {f"final/{name}": first[name] for name in ("images", "failed", "segments", "seconds_per_image")}
    for line in rows:
        final |= {f"final/{line['protocol']}/{name}": line[name] for name in SCORES if name != "segments"}
    return {name: value for name, value in final.items() if pd.notna(value)}


def one_line(error: Exception) -> str:
    """The message of an error on one line, or its type if it has no message."""
    return on_one_line(error) or type(error).__name__
