"""Makes records of synthetic pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.records import Record, SparseTable

CLASSES = 27


def records(seed: int, images: int, failed: Sequence[str] = (), key: str = "key") -> list[Record]:
    """Records of random segmentations with random ground truth."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(images):
        truth = generator.integers(0, 5, 400)
        prediction = np.where(generator.random(400) < 0.6, truth, generator.integers(0, 30, 400))
        table = SparseTable.count(prediction, truth, CLASSES)
        seconds = {"attention": 1.0, "segment": 0.5}
        stored = {"classes": table.to_json()}
        made.append(Record(key, f"{number:012}", stored_tables=stored, segments=table.segments, seconds=seconds))
    return made + [Record(key, image, "failed", "out of memory") for image in failed]
