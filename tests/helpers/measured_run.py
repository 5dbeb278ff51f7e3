"""Writes the tables of a run whose scores are given."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from eval.results.columns import PER_CLASS, PER_IMAGE, SUMMARY

INTERVAL = {"acc": 60, "acc_low": 55, "acc_high": 65, "miou": 30, "miou_low": 25, "miou_high": 35}


def write_measured_run(folder: Path) -> Path:
    """Writes tables of a run of two methods on 13 images of COCO-Stuff-27, scores official and present."""
    folder.mkdir()
    methods = {"DiffSeg": 44.0, "Mine <b>": 50.0}
    common = {"experiment": "run", "dataset": "cocostuff27", "backbone": "sd14", "size": 512, "images": 13, "failed": 0}
    summary = [
        {**common, **INTERVAL, "number": number, "row": method, "segmenter": method, "protocol": protocol, "miou": miou}
        for number, (method, miou) in enumerate(methods.items())
        for protocol in ("official", "present")
    ]
    pd.DataFrame(summary, columns=SUMMARY).to_csv(folder / "summary.csv", index=False)
    for name, columns in {"per_class": PER_CLASS, "per_image": PER_IMAGE}.items():
        rows = [{key: row[key] for key in ("number", "row", "protocol")} for row in summary]
        pd.DataFrame(rows, columns=columns).to_csv(folder / f"{name}.csv", index=False)
    (folder / "config.yaml").write_text(
        "dataset: {_target_: datasets.cocostuff27.CocoStuff27, root: null, split_file: null, limit: null}\n"
    )
    return folder
