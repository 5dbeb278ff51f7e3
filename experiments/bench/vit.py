"""Times whole pictures through DINOv2 ViT-S/14 and four methods, and measures the memory of a run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diffseg import aggregate, dbscan, kmeans, segment
from diffseg.backbones import Dtype, MissingWeights
from diffseg.backbones.vit import ViT
from diffseg.backbones.vit_attention import ViTAttention
from eval.decoding import DecodedPicture
from experiments.bench.measuring import MB, Line, Settings, seconds
from experiments.bench.pictures import PHOTOS, decoded, score

METHODS: dict[str, Callable[[Tensor, DecodedPicture, int], Tensor]] = {
    "DiffSeg": lambda tensor, picture, size: segment(tensor, 0.3, grid="even", size=size),
    "K-Means-C": lambda tensor, picture, size: kmeans(tensor, 6, size=size),
    "K-Means-S": lambda tensor, picture, size: kmeans(tensor, picture.true_classes, size=size),
    "DBSCAN": lambda tensor, picture, size: dbscan(tensor, 0.015, 40, size=size),
}
RATIO_GOAL = 1.3
MEMORY_GOAL = 1500.0  # MB
MILLISECONDS = 1000
ROOT = Path(__file__).resolve().parents[2]
PEAK = "peak bytes:"
# The child process reports its peak itself: the value that `wait4` returns includes memory of the parent.
RUN = f"""
from experiments.evaluate import main
from experiments.bench.measuring import peak_bytes
print({PEAK!r}, peak_bytes(main))
"""
NO_WEIGHTS = "unmeasured: the DINOv2 weights are not on this machine, run `make setup`"


def loaded(dtype: Dtype = "float32", device: str = "cpu") -> ViTAttention | None:
    """Loads the model. Returns None if its weights are absent."""
    try:
        return ViT(dtype=dtype).load(device)
    except MissingWeights:
        return None


def picture_lines(settings: Settings) -> list[Line]:
    """Compares decoding to score by four methods with the bare forward passes at the same input sizes."""
    name = "dinov2: ViT-S/14, 448 px, decoding to score, 4 methods, cpu"
    model = loaded()
    if model is None:
        return [Line(name, goal_ratio=RATIO_GOAL, note=NO_WEIGHTS)]
    ids = PHOTOS.ids[: 1 if settings.quick else None]
    took = [seconds(_calls(model, id), 1 if settings.quick else settings.repeats) for id in ids]
    typical = {call: median(each[call] for each in took) for call in took[0]}
    whole, bare = typical.pop("whole"), typical.pop("bare")
    parts = ", ".join(f"{stage} {MILLISECONDS * time:.0f}" for stage, time in typical.items())
    note = f"median of {len(ids)} pictures; of it, in ms: {parts}"
    return [Line(name, "s", whole, bare, "bare passes", goal_ratio=RATIO_GOAL, floor=bare, note=note)]


def _calls(model: ViTAttention, id: str) -> dict[str, Callable[[], Any]]:
    """The calls to time on one picture: everything, the bare forward passes, and each stage."""
    size, picture = model.spec.size, decoded(id, model.spec.size)
    (maps,) = model.attend(picture.image[None])
    aggregated = aggregate(maps.maps)
    labels = segment(aggregated, 0.3, grid="even", size=size)
    inputs = [F.interpolate(picture.image[None] / 255, (side * model.spec.patch,) * 2) for side in model.spec.sides]

    def whole() -> None:
        fresh = decoded(id, size)
        tensor = aggregate(model.attend(fresh.image[None])[0].maps)
        for method in METHODS.values():
            score(method(tensor, fresh, size), fresh)

    @torch.no_grad()
    def bare() -> None:
        for each in inputs:
            model.model(each)

    return {
        "whole": whole,
        "bare": bare,
        "decoding": lambda: decoded(id, size),
        "attention": lambda: model.attend(picture.image[None]),
        "aggregation": lambda: aggregate(maps.maps),
        **{name: partial(method, aggregated, picture, size) for name, method in METHODS.items()},
        "one score": lambda: score(labels, picture),
    }


def memory_lines(settings: Settings) -> list[Line]:
    """Measures the peak memory of a run in a separate process."""
    name = "memory: peak of a CPU run with DINOv2-S, 4 methods"
    if loaded() is None:
        return [Line(name, "MB", goal=MEMORY_GOAL, note=NO_WEIGHTS)]
    with tempfile.TemporaryDirectory() as folder:
        options = ["experiment=demo", "device=cpu", f"results_dir={folder}", *["dataset.limit=1"] * settings.quick]
        command = [sys.executable, "-c", RUN, *options]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    peak = run.stdout.rpartition(PEAK)[2].strip()
    if run.returncode or not peak.isdigit():
        return [Line(name, "MB", goal=MEMORY_GOAL, note="unmeasured: the run failed, or there is no Linux /proc")]
    note = "experiment=demo; most of it is libraries"
    return [Line(name, "MB", int(peak) / MB, goal=MEMORY_GOAL, note=note)]
