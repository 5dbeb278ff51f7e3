"""Records of made-up pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.matching import contingency, match_contingency
from eval.protocols import PROTOCOLS

CLASSES = 27


def records(seed: int, images: int, failed: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Random segmentations of random truths."""
    generator = np.random.default_rng(seed)
    made: list[dict[str, Any]] = []
    for number in range(images):
        truth = generator.integers(0, 5, 400)
        prediction = np.where(generator.random(400) < 0.6, truth, generator.integers(0, 30, 400))
        table = contingency(prediction, truth, CLASSES)
        counts = {protocol: match_contingency(table, protocol).to_json() for protocol in PROTOCOLS}
        seconds = {"attention": 1.0, "segment": 0.5}
        made.append({"image": f"{number:012}", "status": "ok", "segments": 30, "counts": counts, "seconds": seconds})
    return made + [{"image": image, "status": "failed", "reason": "out of memory"} for image in failed]
