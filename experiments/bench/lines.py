"""The lines of the benchmark, one function a group: merging, clustering, one picture, a sweep, other packages.

Every function takes ``quick``, for small inputs, and the number of repeats, of which the median counts.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import DBSCAN, KMeans, SpectralClustering
from sklearn.metrics import adjusted_rand_score

from datasets.photos import Photos
from diffseg import aggregate, anchor_grid, reference, segment
from diffseg.backbones import MissingWeights
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.vit import ViT
from diffseg.segmenters.dbscan import density_labels
from diffseg.segmenters.kmeans import lloyd
from diffseg.segmenters.ncut import bipartition
from eval.config import Scoring
from eval.matching import contingency, match
from eval.truth import class_map, enter
from experiments.bench.inputs import aggregated_attention, attention_maps, stable_diffusion
from experiments.bench.measuring import NO_CUDA, Line, seconds

SIDE, QUICK_SIDE = 64, 24
SIZE = 512
TAU, ANCHORS, ITERATIONS = 1.1, 16, 3
CLUSTERS, STARTS, MIN_SAMPLES = 6, 10, 5
NEIGHBOURS = 0.1  # eps is this quantile of the distances
AUTHORS = "quoted: the authors' code takes 26 s on two CPU cores"
BATCH = 16
NO_WEIGHTS = "unmeasured: the DINOv2 weights are not on this machine, run `make setup`"
GRID = ("segmenter.tau=0.2,0.3,0.4,0.5", "segmenter.anchors=8,16,32", "aggregation.weights=proportional,finest")
ROOT = Path(__file__).resolve().parents[2]
CITYSCAPES = (1024, 2048)  # height and width of its label maps
CITYSCAPES_CLASSES, MAPS = 19, 20


def on_devices(name: str, goals: dict[str, str], measure: Callable[[str, str], Line]) -> list[Line]:
    """The line of a CPU, and that of a GPU if there is one. ``goals``: device -> goal."""
    cuda = torch.cuda.is_available()
    absent = [] if cuda else [Line(f"{name}, cuda", goal=goals["cuda"], note=NO_CUDA)]
    return [measure(f"{name}, {device}", device) for device in (("cpu", "cuda") if cuda else ("cpu",))] + absent


def merging(quick: bool, repeats: int) -> list[Line]:
    """Times aggregation, merging and masks of one picture, against Algorithm 1 written plainly."""
    side = QUICK_SIDE if quick else SIDE
    goals = {"cpu": "<= 0.35 s", "cuda": "<= 0.004 s"}

    def measure(name: str, device: str) -> Line:
        maps = {length: attention.to(device) for length, attention in attention_maps(side).items()}

        def ours() -> torch.Tensor:
            return segment(aggregate(maps), TAU, ANCHORS, ITERATIONS, grid="official", size=SIZE)

        def plain() -> torch.Tensor:
            aggregated = reference.aggregate(maps)
            rows, columns = anchor_grid(max(maps), ANCHORS).to(aggregated.device).T
            proposals = reference.merge(aggregated, rows * max(maps) + columns, TAU, ITERATIONS)
            return reference.masks(proposals, SIZE)

        took = seconds({"ours": ours, "plain": plain}, repeats, device)
        same = float((ours() == plain()).float().mean())
        note = f"{same:.2%} of the pixels are the same; {AUTHORS}"
        return Line(name, took["ours"], took["plain"], "plain products", goals[device], note)

    return on_devices(f"merging: aggregate, merge, masks, S = {side}, M = {ANCHORS}, float32", goals, measure)


def kmeans(quick: bool, repeats: int) -> list[Line]:
    """Times K-means against scikit-learn's."""
    points = aggregated_attention(QUICK_SIDE if quick else SIDE)
    theirs = KMeans(CLUSTERS, n_init=STARTS, random_state=0)
    ours = partial(lloyd, clusters=CLUSTERS, seed=0, n_init=STARTS)
    goals = {"cpu": "<= 1 s", "cuda": "<= 0.03 s"}
    return _clustering(f"kmeans: {STARTS} starts, k = {CLUSTERS}", points, goals, ours, theirs, repeats)


def dbscan(quick: bool, repeats: int) -> list[Line]:
    """Times DBSCAN against scikit-learn's."""
    points = aggregated_attention(QUICK_SIDE if quick else SIDE)
    eps = float(torch.pdist(points[:: max(1, len(points) // 500)]).quantile(NEIGHBOURS))
    theirs = DBSCAN(eps=eps, min_samples=MIN_SAMPLES)
    ours = partial(density_labels, eps=eps, min_samples=MIN_SAMPLES)
    goals = {"cpu": "<= 0.5 s", "cuda": "<= 0.02 s"}
    return _clustering(f"dbscan: eps {eps:.3g}", points, goals, ours, theirs, repeats)


def _clustering(
    name: str,
    points: torch.Tensor,
    goals: dict[str, str],
    ours: Callable[[torch.Tensor], torch.Tensor],
    theirs: KMeans | DBSCAN,
    repeats: int,
) -> list[Line]:
    expected = torch.from_numpy(theirs.fit(points.numpy()).labels_).long()
    their_time = seconds({"sklearn": lambda: theirs.fit(points.numpy())}, 1)["sklearn"]

    def measure(line: str, device: str) -> Line:
        call = partial(ours, points.to(device))
        took = seconds({"ours": call}, repeats, device)["ours"]
        note = f"{float((call().cpu() == expected).float().mean()):.2%} of the labels are the same"
        return Line(line, took, their_time, "scikit-learn", goals[device], note)

    return on_devices(f"{name}, S = {round(len(points) ** 0.5)}", goals, measure)


def picture(quick: bool, repeats: int) -> list[Line]:
    """Times one picture from decoding to score: DINOv2 on the CPU, and Stable Diffusion's architecture on CUDA."""
    data = Photos()
    chosen = data.ids[: 1 if quick else None]
    name, goal = "picture: DINOv2 ViT-S/14, 448 px, decoding to score by DiffSeg, cpu", "<= 1.3 x"
    try:
        vit = ViT().load("cpu")
    except MissingWeights:
        lines = [Line(name, goal=goal, note=NO_WEIGHTS)]
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

        took = seconds({"whole": whole, "bare": bare}, repeats)
        lines = [Line(name, took["whole"] / len(chosen), took["bare"] / len(chosen), "bare passes", goal)]
    name = f"picture: SD v1.4 architecture, {SIZE} px, float16, batches of {BATCH}, attention to labels, cuda"
    goal = ">= 85 pictures/s"
    if not torch.cuda.is_available():
        return [*lines, Line(name, goal=goal, note=NO_CUDA)]
    model = stable_diffusion(StableDiffusion(dtype="float16"), "cuda")
    batch = torch.stack([enter(data.load(data.ids[n % len(data.ids)]), "square", SIZE) for n in range(BATCH)])

    def labels_of_batch() -> None:
        for maps in model.attend(batch):
            segment(aggregate(maps.maps), TAU, grid="official", size=SIZE)

    rate = BATCH / seconds({"ours": labels_of_batch}, repeats, "cuda")["ours"]
    return [*lines, Line(name, rate, goal=goal, unit="pictures/s")]


def sweep(quick: bool, repeats: int) -> list[Line]:
    """Times a sweep of 24 points against one of them, from process start to finished tables."""
    name, goal = "sweep: 24 points (4 tau x 3 M x 2 R), DINOv2-S, eight photographs", "<= 2.5 x"
    try:
        ViT().check()
    except MissingWeights:
        return [Line(name, goal=goal, note=NO_WEIGHTS)]
    options = ("dataset.limit=1", "panels=1") if quick else ()
    repeats = min(repeats, 3)
    took = seconds({"one": partial(_run, *options), "many": partial(_run, "-m", *options, *GRID)}, repeats)
    return [Line(name, took["many"], took["one"], "one point", goal, f"median of {repeats} in turn")]


def _run(*arguments: str) -> None:
    """Runs ``python -m experiments.evaluate ...`` with a temporary results folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "experiments.evaluate", *arguments, f"results_dir={folder}/run"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def peers(quick: bool, repeats: int) -> list[Line]:
    """Times other packages on the same inputs. A package that is not installed gets a line that says so."""
    lines: list[Line] = []
    for side in (QUICK_SIDE,) if quick else (SIDE // 2, SIDE):
        lines += _cuts(aggregated_attention(side), repeats)
    return [*lines, *_ious(2 if quick else MAPS)]


def _cuts(attention: torch.Tensor, repeats: int) -> Iterator[Line]:
    """Normalised cuts of a graph whose nodes are the locations, and their features the rows of the attention."""
    features = F.normalize(attention, dim=1)
    affinity = (features @ features.T).clamp(min=0)
    nodes = f"{len(attention):,} nodes"

    def two_ways(fastncut: Any) -> torch.Tensor:
        return fastncut.ncut(features, data_format="nc").reshape(len(features)) > 0

    def k_ways(ncut_pytorch: Any) -> torch.Tensor:
        vectors = ncut_pytorch.ncut_fn(attention, n_eig=CLUSTERS, device="cpu")[0]
        return ncut_pytorch.kway_ncut(vectors, device="cpu").argmax(dim=1)

    def spectral() -> torch.Tensor:
        clustering = SpectralClustering(CLUSTERS, affinity="precomputed", random_state=0)
        return torch.from_numpy(clustering.fit_predict(affinity.numpy()))

    yield _against(f"peers: cut in two, {nodes}", lambda: bipartition(affinity)[0], "fastncut", two_ways, repeats)
    yield _against(f"peers: spectral, k = {CLUSTERS}, {nodes}", spectral, "ncut_pytorch", k_ways, min(repeats, 2))


def _ious(maps: int) -> Iterator[Line]:
    """IoU of label maps of Cityscapes' size that name their classes."""
    random = torch.Generator().manual_seed(0)
    shape = (2, *CITYSCAPES)
    prediction, truth = torch.randint(CITYSCAPES_CLASSES, shape, generator=random, dtype=torch.uint8).long()

    def ours() -> torch.Tensor:
        tables = [contingency(prediction, truth, CITYSCAPES_CLASSES) for _ in range(maps)]
        total = torch.from_numpy(np.sum(tables, axis=0))
        hits = total.diagonal()
        return hits / (total.sum(dim=0) + total.sum(dim=1) - hits)

    def torchmetrics(package: Any) -> torch.Tensor:
        metric = package.JaccardIndex("multiclass", num_classes=CITYSCAPES_CLASSES, average="none")
        for _ in range(maps):
            metric.update(prediction[None], truth[None])
        return metric.compute()

    def mmsegmentation(package: Any) -> torch.Tensor:
        areas = package.IoUMetric.intersect_and_union
        sums = [areas(prediction, truth, CITYSCAPES_CLASSES, 255)[:2] for _ in range(maps)]
        return sum(both for both, _ in sums) / sum(either for _, either in sums)

    name = f"peers: IoU of {maps} maps of 1024 x 2048"
    yield _against(name, ours, "torchmetrics", torchmetrics, 1)
    yield _against(name, ours, "mmseg.evaluation.metrics.iou_metric", mmsegmentation, 1)


def _against(
    name: str, ours: Callable[[], torch.Tensor], module: str, theirs: Callable[[Any], torch.Tensor], repeats: int
) -> Line:
    """A line against a package that this project does not need."""
    package = module.partition(".")[0]
    try:
        call = partial(theirs, import_module(module))
        other = call()  # imports more
    except ImportError as error:
        return Line(name, against=package, note=f"unmeasured: {package} is not installed ({str(error).split('. ')[0]})")
    took = seconds({"ours": ours, "theirs": call}, repeats)
    one = ours()
    if one.is_floating_point():
        note = f"IoU differ by at most {float((one - other).abs().max()):.1e}"
    else:
        note = f"adjusted Rand index of both: {adjusted_rand_score(one, other):.2f}"
    return Line(name, took["ours"], took["theirs"], package, note=note)


GROUPS = {"merging": merging, "kmeans": kmeans, "dbscan": dbscan, "picture": picture, "sweep": sweep, "peers": peers}
