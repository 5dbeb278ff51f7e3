"""Rows and records whose scores can be worked out on paper."""

from __future__ import annotations

import numpy as np

from eval.records import Record, SparseTable
from eval.row import Row

# fmt: off
COLUMNS = [
    "number", "row", "experiment", "dataset", "label_source", "frame", "backbone", "size", "positions",
    "sides", "layers", "timestep", "scheme", "weights", "bounces",
    "segmenter", "tau", "anchors", "iterations", "rule", "precision", "grid", "clusters", "eps",
    "min_samples", "noise", "seed", "n_init", "upsample", "protocol", "images", "failed", "classes", "segments", "acc",
    "acc_low", "acc_high", "miou", "miou_low", "miou_high", "ari", "ari_low", "ari_high", "voi", "voi_low", "voi_high",
    "covering", "covering_low", "covering_high", "published_acc", "published_miou", "seconds_per_image",
    "device", "dtype", "backbone_weights", "key",
]
# fmt: on
CLASSES = ["sky", "grass", "road"]
DATASET = {"name": "cocostuff27", "label_source": "stuffthingmaps"}


def ok(image: str, prediction: list[int], truth: list[int], seconds: float) -> Record:
    table = SparseTable.count(np.array(prediction), np.array(truth), len(CLASSES))
    return Record(
        "d",
        image,
        stored_tables={"classes": table.to_json()},
        segments=table.segments,
        device="cpu",
        dtype="float32",
        seconds={"attention": seconds, "segment": 0.25},
    )


FAILED = Record("d", "b", "failed", "no proposal, at all")
DIFFSEG = Row(
    "d",
    "DiffSeg",
    {
        "experiment": "table1",
        "dataset": DATASET,
        "scoring": {"frame": "square", "size": 448},
        "backbone": {"name": "dinov2_small", "size": 448, "sides": (32, 16, 8), "layers": [8, 9], "timestep": None},
        "aggregation": {"scheme": "official", "weights": (1.0, 0.5, 0.0)},
        "segmenter": {"name": "diffseg", "tau": 0.3, "anchors": 16},
    },
    CLASSES,
    ("official", "present"),
    # a: sky has 4 pixels, 3 in one segment. c: grass has 2 pixels, road 2, one of them in the segment of grass.
    [ok("a", [0, 0, 0, 1, 0], [0, 0, 0, 0, -1], seconds=0.5), FAILED, ok("c", [5, 5, 7, 5], [1, 1, 2, 2], seconds=1.5)],
    pictures=3,
    published={"acc": 72.5, "miou": None},
    official_count=2175,
)
DBSCAN = Row(
    "k",
    "DBSCAN",
    {"dataset": DATASET, "scoring": {"frame": "square"}, "segmenter": {"name": "dbscan", "eps": 1e-5}},
    CLASSES,
    ("official", "present"),
    official_count=2175,
)
ROWS = [DIFFSEG, DBSCAN]
