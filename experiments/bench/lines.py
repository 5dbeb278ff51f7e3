"""The lines of the benchmark, one function a group: merging, clustering, one picture, a sweep."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.cluster import DBSCAN, KMeans

from datasets.photos import Photos
from diffseg import aggregate, anchor_grid, reference, segment
from diffseg.backbones import MissingWeights
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.vit import ViT
from diffseg.segmenters.dbscan import density_labels
from diffseg.segmenters.kmeans import lloyd
from eval.config import Scoring
from eval.matching import match
from eval.truth import class_map, enter
from experiments.bench.inputs import aggregated_attention, attention_maps, stable_diffusion
from experiments.bench.measuring import NO_CUDA, Line, Settings, seconds

SIDE, QUICK_SIDE = 64, 24
SIZE = 512
TAU, ANCHORS, ITERATIONS = 1.1, 16, 3
CLUSTERS, STARTS, MIN_SAMPLES = 6, 10, 5
NEIGHBOURS = 0.1  # eps is this quantile of the distances
MERGING_GOALS = {"cpu": 0.35, "cuda": 0.004}
KMEANS_GOALS = {"cpu": 1.0, "cuda": 0.03}
DBSCAN_GOALS = {"cpu": 0.5, "cuda": 0.02}
AUTHORS = "quoted: the authors' code takes 26 s on two CPU cores"
PICTURE_RATIO, SWEEP_RATIO = 1.3, 2.5
PICTURES_A_SECOND, BATCH = 85, 16
NO_WEIGHTS = "unmeasured: the DINOv2 weights are not on this machine, run `make setup`"
GRID = ("segmenter.tau=0.2,0.3,0.4,0.5", "segmenter.anchors=8,16,32", "aggregation.weights=proportional,finest")
ROOT = Path(__file__).resolve().parents[2]


def merging(settings: Settings) -> list[Line]:
    """Times aggregation, merging and masks of one picture, against Algorithm 1 written plainly."""
    side = QUICK_SIDE if settings.quick else SIDE
    lines = []
    for device, goal in MERGING_GOALS.items():
        name = f"merging: aggregate, merge, masks, S = {side}, M = {ANCHORS}, float32, {device}"
        if device == "cuda" and not torch.cuda.is_available():
            lines.append(Line(name, goal=goal, note=NO_CUDA))
            continue
        maps = {length: attention.to(device) for length, attention in attention_maps(side).items()}

        def ours(maps: dict[int, torch.Tensor] = maps) -> torch.Tensor:
            return segment(aggregate(maps), TAU, ANCHORS, ITERATIONS, grid="official", size=SIZE)

        def plain(maps: dict[int, torch.Tensor] = maps) -> torch.Tensor:
            aggregated = reference.aggregate(maps)
            rows, columns = anchor_grid(max(maps), ANCHORS).to(aggregated.device).T
            proposals = reference.merge(aggregated, rows * max(maps) + columns, TAU, ITERATIONS)
            return reference.masks(proposals, SIZE)

        took = seconds({"ours": ours, "plain": plain}, settings.repeats, device)
        same = float((ours() == plain()).float().mean())
        note = f"{same:.2%} of the pixels are the same; {AUTHORS}"
        lines.append(Line(name, "s", took["ours"], took["plain"], "plain products", goal, note=note))
    return lines


def kmeans(settings: Settings) -> list[Line]:
    """Times K-means against scikit-learn's."""
    points = aggregated_attention(QUICK_SIDE if settings.quick else SIDE)
    theirs = KMeans(CLUSTERS, n_init=STARTS, random_state=0)
    return _clustering(settings, f"kmeans: {STARTS} starts, k = {CLUSTERS}", points, KMEANS_GOALS, theirs)


def dbscan(settings: Settings) -> list[Line]:
    """Times DBSCAN against scikit-learn's."""
    points = aggregated_attention(QUICK_SIDE if settings.quick else SIDE)
    eps = float(torch.pdist(points[:: max(1, len(points) // 500)]).quantile(NEIGHBOURS))
    return _clustering(
        settings, f"dbscan: eps {eps:.3g}", points, DBSCAN_GOALS, DBSCAN(eps=eps, min_samples=MIN_SAMPLES)
    )


def _clustering(
    settings: Settings, name: str, points: torch.Tensor, goals: dict[str, float], theirs: KMeans | DBSCAN
) -> list[Line]:
    lines = []
    expected = torch.from_numpy(theirs.fit(points.numpy()).labels_).long()
    their_time = seconds({"sklearn": lambda: theirs.fit(points.numpy())}, 1)["sklearn"]
    for device, goal in goals.items():
        name_on = f"{name}, S = {round(len(points) ** 0.5)}, {device}"
        if device == "cuda" and not torch.cuda.is_available():
            lines.append(Line(name_on, goal=goal, note=NO_CUDA))
            continue
        moved = points.to(device)
        call = (
            partial(lloyd, moved, CLUSTERS, 0, STARTS)
            if isinstance(theirs, KMeans)
            else partial(density_labels, moved, theirs.eps, MIN_SAMPLES)
        )
        took = seconds({"ours": call}, settings.repeats, device)["ours"]
        note = f"{float((call().cpu() == expected).float().mean()):.2%} of the labels are the same"
        lines.append(Line(name_on, "s", took, their_time, "scikit-learn", goal, note=note))
    return lines


def picture(settings: Settings) -> list[Line]:
    """Times one picture from decoding to score: DINOv2 on the CPU, and Stable Diffusion's architecture on CUDA."""
    data = Photos()
    chosen = data.ids[: 1 if settings.quick else None]
    name = "picture: DINOv2 ViT-S/14, 448 px, decoding to score by DiffSeg, cpu"
    try:
        vit = ViT().load("cpu")
    except MissingWeights:
        lines = [Line(name, goal_ratio=PICTURE_RATIO, note=NO_WEIGHTS)]
    else:
        size, patch = vit.spec.size, vit.spec.patch

        def whole() -> None:
            for id in chosen:
                loaded = data.load(id)
                (maps,) = vit.attend(enter(loaded, "square", size)[None])
                labels = segment(aggregate(maps.maps), 0.3, grid="even", size=size)
                match(labels, class_map(loaded, Scoring("square", size)), len(data.classes))

        inputs = [F.interpolate(torch.rand(1, 3, size, size), (side * patch,) * 2) for side in vit.spec.sides]

        @torch.no_grad()
        def bare() -> None:
            for _ in chosen:
                for pixels in inputs:
                    vit.model(pixels)

        took = seconds({"whole": whole, "bare": bare}, settings.repeats)
        ours, theirs = (took[call] / len(chosen) for call in ("whole", "bare"))
        lines = [Line(name, "s", ours, theirs, "bare passes", goal_ratio=PICTURE_RATIO)]
    name = f"picture: SD v1.4 architecture, {SIZE} px, float16, batches of {BATCH}, attention to labels, cuda"
    if not torch.cuda.is_available():
        return [*lines, Line(name, "pictures/s", goal=PICTURES_A_SECOND, more_is_better=True, note=NO_CUDA)]
    model = stable_diffusion(StableDiffusion(dtype="float16"), "cuda")
    batch = torch.stack([enter(data.load(data.ids[n % len(data.ids)]), "square", SIZE) for n in range(BATCH)])

    def labels_of_batch() -> None:
        for maps in model.attend(batch):
            segment(aggregate(maps.maps), TAU, grid="official", size=SIZE)

    rate = BATCH / seconds({"ours": labels_of_batch}, settings.repeats, "cuda")["ours"]
    return [*lines, Line(name, "pictures/s", rate, goal=PICTURES_A_SECOND, more_is_better=True)]


def sweep(settings: Settings) -> list[Line]:
    """Times a sweep of 24 points against one of them, from process start to finished tables."""
    name = "sweep: 24 points (4 tau x 3 M x 2 R), DINOv2-S, eight photographs"
    try:
        ViT().check()
    except MissingWeights:
        return [Line(name, goal_ratio=SWEEP_RATIO, note=NO_WEIGHTS)]
    options = ("dataset.limit=1", "panels=1") if settings.quick else ()
    repeats = min(settings.repeats, 3)
    took = seconds({"one": partial(_run, *options), "many": partial(_run, "-m", *options, *GRID)}, repeats)
    note = f"median of {repeats} in turn"
    return [Line(name, "s", took["many"], took["one"], "one point", goal_ratio=SWEEP_RATIO, note=note)]


def _run(*arguments: str) -> None:
    """Runs ``python -m experiments.evaluate ...`` with a temporary results folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "experiments.evaluate", *arguments, f"results_dir={folder}/run"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


GROUPS = {"merging": merging, "kmeans": kmeans, "dbscan": dbscan, "picture": picture, "sweep": sweep}
