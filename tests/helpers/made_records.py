"""Makes records of synthetic pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from eval.results.row_results import RowResults
from eval.storage.records import Record

from eval.matching import Counts, contingency, match_contingency
from eval.protocols import ProtocolName
from eval.scores import SparseTable

CLASSES = 27


def records(seed: int, images: int, failed: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Records of random segmentations with random ground truth."""
    generator = np.random.default_rng(seed)
    made: list[dict[str, Any]] = []
    for number in range(images):
        truth = generator.integers(0, 5, 400)
        prediction = np.where(generator.random(400) < 0.6, truth, generator.integers(0, 30, 400))
        table = contingency(prediction, truth, CLASSES)
        seconds = {"attention": 1.0, "segment": 0.5}
        made.append(
            {
                "image": f"{number:012}",
                "status": "ok",
                "segments": 30,
                "table": SparseTable.of(table).to_json(),
                "seconds": seconds,
            }
        )
    return made + [{"image": image, "status": "failed", "reason": "out of memory"} for image in failed]


def results_of(rows: Sequence[RowResults], records: Mapping[str, Sequence[Record]]) -> list[RowResults]:
    """Joins rows with their records. ``records``: key of a row -> its records."""
    return [replace(row, records=records[row.key]) for row in rows]


def counts_of(record: Record, protocol: ProtocolName = "official", background: int | None = None) -> Counts:
    """The counts of an evaluated picture, from the contingency table in its record."""
    return match_contingency(SparseTable.from_json(record["table"]).dense(), protocol, background)
