"""Follows the rows of a run with a tracker, and chooses the scores to log. An error of a tracker stops no run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from diffseg.texts import on_one_line
from eval.counts import Counts
from eval.matching import count_images
from eval.metrics import accuracy, mean_iou
from eval.protocols import ProtocolName, within_image
from eval.records import Record
from eval.results.columns import SCORES
from eval.runs import Row

PERCENT = 100
ByProtocol = dict[ProtocolName, Counts]

logger = logging.getLogger(__name__)


class Tracker(Protocol):
    """A frozen dataclass named by a ``conf/tracker/*.yaml``."""

    def start(self, row: Row, name: str, folder: Path, token: str) -> Any:
        """Begins to track a row, see `eval.tracking.wandb_tracker.WandbTracker`. None: it shall not be tracked."""


@dataclass(frozen=True)
class NoTracker:
    """Tracker that copies nothing."""

    def start(self, row: Row, name: str, folder: Path, token: str) -> None:
        """Does nothing."""


class RunningScores:
    """Adds up the records of a row. The newest record of a picture counts.

    Args:
        row: the row. Of its protocols, those count that match within a picture: the others have no score before the
            end of the run.
    """

    def __init__(self, row: Row) -> None:
        self._row = row
        self._protocols = [name for name in row.protocols if within_image(name)]
        self._total: ByProtocol = {name: Counts.zeros(len(row.classes)) for name in self._protocols}
        self._pictures: dict[str, ByProtocol | None] = {}  # None: it failed

    def add(self, record: Record) -> dict[str, Any]:
        """Adds the record of a picture.

        Returns:
            ``image/id``, ``image/segments``, ``image/seconds``, ``image/PROTOCOL/acc`` and ``.../miou`` of this
            picture; ``running/PROTOCOL/...`` of all pictures so far; the numbers of ``images`` evaluated and
            ``failed``. Scores in percent.
        """
        values: dict[str, Any] = {"image/id": record.picture}
        counts = self._count(record) if record.ok else None
        if counts is not None:
            values |= {"image/segments": record.segments, "image/seconds": sum(record.seconds.values())}
            values |= _scores("image", counts)
        replaced = self._pictures.get(record.picture)
        self._pictures[record.picture] = counts
        evaluated = [scores for scores in self._pictures.values() if scores is not None]
        if replaced:  # its counts are in the total
            self._total = {name: Counts.zeros(len(self._row.classes)) for name in self._protocols}
        for added in evaluated if replaced else [counts or {}]:
            self._total |= {name: self._total[name] + added[name] for name in added}
        failed = len(self._pictures) - len(evaluated)
        return values | _scores("running", self._total) | {"images": len(evaluated), "failed": failed}

    def _count(self, record: Record) -> ByProtocol:
        if "classes" not in record.stored_tables:
            return {}
        table, row = record.tables["classes"], self._row
        return {name: count_images([table], name, row.background, row.reads_files)[0] for name in self._protocols}


def _scores(prefix: str, counts: ByProtocol) -> dict[str, float]:
    return {
        f"{prefix}/{protocol}/{metric}": PERCENT * score(pixels)
        for protocol, pixels in counts.items()
        for metric, score in (("acc", accuracy), ("miou", mean_iou))
    }


class Tracking:
    """Tracks the rows of a run. After the first error of the tracker, it warns in one line and stops tracking.

    Lets Ctrl+C through.

    Args:
        tracker: the tracker of the configuration.
        folder: the existing results folder.
        token: `eval.runs.Run.token`, which tells the folder from one that had its place before.
    """

    def __init__(self, tracker: Tracker, folder: Path, token: str) -> None:
        # Absolute: a later upload from another folder finds the files.
        self._tracker, self._folder, self._token = tracker, folder.resolve(), token
        self._rows: dict[str, tuple[Any, RunningScores]] = {}
        self._stopped = False

    def start(self, row: Row, name: str) -> None:
        """Begins to track a row, and shows its records so far to the tracker. ``name``: which no other row has."""
        if row.key not in self._rows:
            self._attempt(lambda: self._start(row, name))

    def record(self, row: Row, record: Record) -> None:
        """Logs a new record of a row."""
        if row.key in self._rows:
            tracked, scores = self._rows[row.key]
            self._attempt(lambda: tracked.record(scores.add(record), live=True))

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
        tracked = self._tracker.start(row, name, self._folder, self._token)
        if tracked is not None:
            scores = RunningScores(row)
            self._rows[row.key] = tracked, scores
            for record in row.records:
                tracked.record(scores.add(record), live=False)

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
