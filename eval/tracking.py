"""Trackers mirror a finished run elsewhere. No number depends on them: they read what the result files already hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Tracker(Protocol):
    """A dataclass named by a ``conf/tracker/*.yaml``."""

    def mirror(self, folder: Path) -> None:
        """Is shown a results folder whose tables and panels have just been written."""
        ...


@dataclass(frozen=True)
class NoTracker:
    """Results stay in files."""

    def mirror(self, folder: Path) -> None:
        """Does nothing."""
