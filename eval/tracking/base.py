"""Follows the rows of a run with a tracker, and chooses the scores to log. An error of a tracker stops no run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import pandas as pd

from diffseg.texts import on_one_line
from eval.counts import Counts
from eval.matching import count_images
from eval.metrics import PERCENT, accuracy, mean_iou
from eval.protocols import ProtocolName, within_image
from eval.records import Record
from eval.results.columns import SCORES
from eval.row import Row

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
        protocols = [name for name in row.protocols if within_image(name)]
        self._total: ByProtocol = {name: Counts.zeros(len(row.classes)) for name in protocols}
        self._pictures: dict[str, ByProtocol | None] = {}  # None: it failed

    def add(self, record: Record) -> dict[str, Any]:
        """Adds the record of a picture.

        Returns:
            ``image/id``, ``image/segments``, ``image/seconds``, ``image/PROTOCOL/acc`` and ``.../miou`` of this
            picture; ``running/PROTOCOL/...`` of all pictures so far; the numbers of ``images`` evaluated and
            ``failed``. Scores in percent.
        """
        row = self._row
        values: dict[str, Any] = {"image/id": record.picture}
        counts: ByProtocol = {}
        if record.ok:
            if "classes" in record.stored_tables:
                tables, facts = [record.tables["classes"]], (row.background, row.reads_files)
                counts = {name: count_images(tables, name, *facts)[0] for name in self._total}
            values |= {"image/segments": record.segments, "image/seconds": sum(record.seconds.values())}
            values |= _scores("image", counts)
        for name, replaced in (self._pictures.get(record.picture) or {}).items():
            self._total[name] -= replaced
        for name, added in counts.items():
            self._total[name] += added
        self._pictures[record.picture] = counts if record.ok else None
        failed = sum(scores is None for scores in self._pictures.values())
        return {**values, **_scores("running", self._total), "images": len(self._pictures) - failed, "failed": failed}


def _scores(prefix: str, counts: ByProtocol) -> dict[str, float]:
    return {
        f"{prefix}/{protocol}/{metric}": PERCENT * score(pixels)
        for protocol, pixels in counts.items()
        for metric, score in (("acc", accuracy), ("miou", mean_iou))
    }


class Tracking:
    """Tracks the rows of a run. After the first error of the tracker, it warns in one line and stops tracking.

    Lets Ctrl+C through. As a context it is closed after the block.

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        self.close(failed=error is not None)

    @property
    def follows(self) -> bool:
        """True if rows are tracked."""
        return bool(self._rows)

    def start(self, row: Row, name: str) -> None:
        """Begins to track a row, and shows its records so far to the tracker. ``name``: which no other row has."""
        if row.key in self._rows or self._stopped:
            return
        with self._stopping_at_errors():
            if tracked := self._tracker.start(row, name, self._folder, self._token):
                scores = RunningScores(row)
                self._rows[row.key] = tracked, scores
                for record in row.records:
                    tracked.record(scores.add(record), live=False)

    def record(self, record: Record) -> None:
        """Logs a new record of a row."""
        if record.row in self._rows and not self._stopped:
            tracked, scores = self._rows[record.row]
            with self._stopping_at_errors():
                tracked.record(scores.add(record), live=True)

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
        if row.key in self._rows and not self._stopped:
            with self._stopping_at_errors():
                self._rows[row.key][0].finish(final, panels, per_class)

    def close(self, failed: bool = False) -> None:
        """Ends the tracking. ``failed``: the run was interrupted or stopped by an error."""
        failed = failed or self._stopped
        for tracked, _ in self._rows.values():
            with self._stopping_at_errors():  # the other rows are closed, too
                tracked.close(failed)

    @contextmanager
    def _stopping_at_errors(self) -> Iterator[None]:
        """Context in which an error of the tracker does not stop the run."""
        try:
            yield
        except Exception as error:
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
