"""Rows and records whose scores can be worked out on paper."""

from __future__ import annotations

from typing import Any

import pandas as pd
from eval.results.row_results import RowResults

from eval.matching import contingency
from eval.scores import SparseTable

# fmt: off
COLUMNS = [
    "number", "row", "experiment", "dataset", "label_source", "backbone", "size", "sides", "layers", "timestep",
    "scheme", "weights", "segmenter", "tau", "anchors", "iterations", "rule", "precision", "grid", "clusters", "eps",
    "min_samples", "noise", "seed", "n_init", "upsample", "protocol", "images", "failed", "segments", "acc",
    "acc_low", "acc_high", "miou", "miou_low", "miou_high", "ari", "ari_low", "ari_high", "voi", "voi_low", "voi_high",
    "covering", "covering_low", "covering_high", "published_acc", "published_miou", "seconds_per_image",
    "device", "dtype", "backbone_weights",
]
# fmt: on
CLASSES = ["sky", "grass", "road"]
DATASET = {"name": "cocostuff27", "label_source": "stuffthingmaps"}
DIFFSEG = RowResults(
    "DiffSeg",
    "d",
    {
        "experiment": "table1",
        "dataset": DATASET,
        "backbone": {"name": "dinov2_small", "size": 448, "sides": (32, 16, 8), "layers": [8, 9], "timestep": None},
        "aggregation": {"scheme": "official", "weights": (1.0, 0.5, 0.0)},
        "segmenter": {"name": "diffseg", "tau": 0.3, "anchors": 16},
    },
    published={"acc": 72.5, "miou": None},
)
DBSCAN = RowResults("DBSCAN", "k", {"dataset": DATASET, "segmenter": {"name": "dbscan", "eps": 1e-5}})


def ok(image: str, prediction: list[int], truth: list[int], seconds: float) -> dict[str, Any]:
    table = contingency(pd.array(prediction).to_numpy(), pd.array(truth).to_numpy(), len(CLASSES))
    return {
        "type": "image",
        "key": "d",
        "image": image,
        "status": "ok",
        "segments": len(set(prediction)),
        "underflow": None,
        "table": SparseTable.of(table).to_json(),
        "device": "cpu",
        "dtype": "float32",
        "seconds": {"attention": seconds, "segment": 0.25},
    }


FAILED = {"type": "image", "key": "d", "image": "b", "status": "failed", "reason": "no proposal, at all"}
RECORDS = {
    # a: sky has 4 pixels, 3 in one segment. c: grass has 2 pixels, road 2, one of them in the segment of grass.
    "d": [
        ok("a", [0, 0, 0, 1, 0], [0, 0, 0, 0, -1], seconds=0.5),
        FAILED,
        ok("c", [5, 5, 7, 5], [1, 1, 2, 2], seconds=1.5),
    ],
    "k": [],
}
ROWS = [DIFFSEG, DBSCAN]
