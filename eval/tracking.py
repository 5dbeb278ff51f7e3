"""Trackers mirror a run elsewhere. No number depends on them: they are given what the records already hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd


class Tracker(Protocol):
    """Is told of the results when a run has written them."""

    def finish(self, folder: Path, summary: pd.DataFrame, config: Mapping[str, Any], rows: Sequence[str]) -> None:
        """The run in ``folder`` is complete; ``summary`` is its table, ``config`` its settings."""
        ...


@dataclass(frozen=True)
class NoTracker:
    """Tells nobody."""

    def finish(self, folder: Path, summary: pd.DataFrame, config: Mapping[str, Any], rows: Sequence[str]) -> None:
        """Does nothing."""
