"""Made-up results of any settings, and what a plot shows of them."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from eval.results.reading import Results
from matplotlib.axes import Axes

from eval.results.columns import AGREEMENT, SETTINGS

IMAGES = ("a", "b", "c", "d")
CLASSES = ("sky", "person", "boat")
NUMBERS = ["acc", "miou", "segments", "tp", "fp", "fn", "labelled"]


def made_up(*parameters: dict[str, str]) -> Results:
    """Results of these settings, with random scores."""
    random = np.random.default_rng(0)
    summary, per_class, per_image = [], [], []
    for number, given in enumerate(parameters):
        name = given.get("name", "DiffSeg")
        setting = ", ".join([name, *(f"{key}={value}" for key, value in given.items() if key != "name")])
        row = {"job": str(number), "setting": setting, "name": name, "row": name, **dict.fromkeys(SETTINGS, "")}
        row |= {"dataset": "photos", "backbone": "dinov2_small", "segmenter": "diffseg", **given}
        for protocol in ("official", "present"):
            row["protocol"] = protocol
            acc, miou = random.uniform(30, 60, 2)
            scores = {
                "acc": acc,
                "acc_low": acc - 9,
                "acc_high": acc + 5,
                "miou": miou,
                "miou_low": miou - 3,
                "miou_high": miou + 2,
            }
            for name in AGREEMENT:
                value = random.uniform(1, 90)
                scores |= {name: value, f"{name}_low": value - 2, f"{name}_high": value + 3}
            numbers = {"images": len(IMAGES), "failed": 0, "segments": random.uniform(2, 9), "published_acc": np.nan}
            summary.append(row | scores | numbers | {"published_miou": np.nan})
            for class_id, (class_name, images) in enumerate(zip(CLASSES, (4, 2, 0), strict=True)):
                iou = random.uniform(0, 100) if images else np.nan
                per_class.append(row | {"class_id": class_id, "class": class_name, "iou": iou, "images": images})
                per_class[-1] |= {"iou_low": iou - 3, "iou_high": iou + 2}
            for image in IMAGES:
                acc, miou = random.uniform(0, 100, 2)
                per_image.append(row | {"image": image, "acc": acc, "miou": miou, "segments": random.integers(1, 9)})
                tp, fp, fn = random.integers(0, 1000, (3, len(CLASSES)))
                per_image[-1] |= {"tp": json.dumps(tp.tolist()), "fp": json.dumps(fp.tolist())}
                per_image[-1] |= {"fn": json.dumps(fn.tolist()), "labelled": (tp + fn).sum()}
    folders = {str(number): Path() for number in range(len(parameters))}
    return Results(*map(pd.DataFrame, (summary, per_class, per_image)), pd.DataFrame(), folders, ())


def grid(**values: tuple[str, ...]) -> list[dict[str, str]]:
    return [dict(zip(values, combination, strict=True)) for combination in product(*values.values())]


def drawn_lines(axis: Axes) -> dict[str, tuple[list[float], list[tuple[float, float]]]]:
    """Label -> heights of the points, and the ends of their bars."""
    found = {}
    for container in axis.containers:
        line, _, (bars,) = container.lines
        ends = [(low, high) for (_, low), (_, high) in bars.get_segments()]
        found[container.get_label()] = (list(line.get_ydata()), ends)
    return found
