"""Sweeps: what 24 points cost in one pass against one point alone: whole processes, from start to tables."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from diffseg.backbones import MissingWeights
from diffseg.backbones.vit import ViT
from experiments.bench.measuring import Line, Settings

RATIO_GOAL = 2.5
GRID = ("segmenter.tau=0.2,0.3,0.4,0.5", "segmenter.anchors=8,16,32", "aggregation.weights=proportional,finest")
QUICK = ("dataset.limit=1", "panels=1")
ROOT = Path(__file__).resolve().parents[2]


def lines(settings: Settings) -> list[Line]:
    """4 tau x 3 M x 2 R of DINOv2 on ``dataset=photos``, all other settings the defaults."""
    name = "sweep: 24 points (4 tau x 3 M x 2 R), DINOv2-S, eight photographs"
    try:
        ViT().check()
    except MissingWeights:
        return [Line(name, goal_ratio=RATIO_GOAL, note="unmeasured: no DINOv2 weights, run `make setup`")]
    few = QUICK if settings.quick else ()
    one, many = _run(*few), _run("-m", *few, *GRID)
    return [Line(name, "s", many, one, "one point", goal_ratio=RATIO_GOAL, note="once each, from start to tables")]


def _run(*arguments: str) -> float:
    """Seconds of ``python -m experiments.evaluate ...``."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "experiments.evaluate", *arguments, f"results_dir={folder}/run"]
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return time.perf_counter() - start
