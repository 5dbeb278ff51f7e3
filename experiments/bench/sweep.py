"""Compares the run time of a sweep with that of a single point, from process start to finished tables."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from transformers.utils import logging

from diffseg.backbones import MissingWeights
from diffseg.backbones.vit import ViT
from experiments.bench.measuring import Line, Settings, seconds
from experiments.bench.tiny_sd import build_tiny_sd

RATIO_GOAL = 2.5
REPEATS = 3
GRID = ("segmenter.tau=0.2,0.3,0.4,0.5", "segmenter.anchors=8,16,32", "aggregation.weights=proportional,finest")
# At this tau, random attention gives some tens of segments, more than a trained model. At 0.1 it gives a hundred.
TINY = ("backbone=sd14", "segmenter.tau=0.2")
STEPS = ("backbone.timestep=100,300,500", "aggregation.weights=proportional,finest")
QUICK = ("dataset.limit=1", "panels=1")
TINY_SIZES = (256, 512)  # pixels: at 512 three passes and six merges cost more than everything that the points share
QUICK_TINY = (*QUICK, "segmenter.anchors=4")
QUICK_TINY_SIZES = (64,)
ROOT = Path(__file__).resolve().parents[2]


def lines(settings: Settings) -> list[Line]:
    """Times a sweep of DINOv2 (4 tau x 3 M x 2 R) and sweeps of a tiny Stable Diffusion (3 t x 2 R)."""
    name = "sweep: 24 points (4 tau x 3 M x 2 R), DINOv2-S, eight photographs"
    try:
        ViT().check()
        found = [_line(name, settings, QUICK if settings.quick else (), GRID)]
    except MissingWeights:
        found = [Line(name, goal_ratio=RATIO_GOAL, note="unmeasured: no DINOv2 weights, run `make setup`")]
    logging.disable_progress_bar()  # hides the bar for writing weights
    sizes = QUICK_TINY_SIZES if settings.quick else TINY_SIZES
    with tempfile.TemporaryDirectory() as folder:
        given = (*TINY, f"backbone.path={build_tiny_sd(Path(folder))}", *(QUICK_TINY if settings.quick else ()))
        for size in sizes:
            name = f"sweep: 6 points (3 time steps x 2 R), tiny Stable Diffusion, {size} px, eight photographs"
            found.append(_line(name, settings, (*given, f"backbone.size={size}"), STEPS))
    return found


def _line(name: str, settings: Settings, given: Sequence[str], points: Sequence[str]) -> Line:
    """Times a sweep over ``points`` and a single run."""
    repeats = 1 if settings.quick else REPEATS
    calls = {"one": partial(_run, *given), "many": partial(_run, "-m", *given, *points)}
    took = seconds(calls, repeats)
    note = f"median of {repeats} in turn, from start to tables"
    return Line(name, "s", took["many"], took["one"], "one point", goal_ratio=RATIO_GOAL, note=note)


def _run(*arguments: str) -> None:
    """Runs ``python -m experiments.evaluate ...`` with a temporary results folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "experiments.evaluate", *arguments, f"results_dir={folder}/run"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
