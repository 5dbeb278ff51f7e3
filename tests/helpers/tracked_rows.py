"""Rows and records for tests of trackers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.protocols import PROTOCOLS
from eval.records import Record, SparseTable
from eval.row import Row


def made_row(key: str = "key", records: Sequence[Record] = (), **segmenter: Any) -> Row:
    settings = {"segmenter": {"name": "diffseg", **segmenter}, "dataset": {"background": None}}
    return Row(key, "DiffSeg", settings, ["class"], (*PROTOCOLS, "dataset"), records)


def made_record(picture: str, correct: int | None, key: str = "key") -> Record:
    """A picture of 10 pixels of one class, and how many are correct; None: the picture failed."""
    if correct is None:
        return Record(key, picture, "failed", "torn")
    table = SparseTable.of(np.array([[correct, *[1] * (10 - correct)]]))  # the largest segment is matched
    seconds = {"attention": 1.0, "segment": 0.5}
    return Record(key, picture, stored_tables={"classes": table.to_json()}, segments=1, seconds=seconds)
