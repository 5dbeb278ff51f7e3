"""Times everything that Table 1 of the paper (COCO-Stuff) computes for one picture, with Stable Diffusion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from diffseg import aggregate
from diffseg.backbones.latent_diffusion import VAE_FACTOR
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention
from diffseg.segmenters.base import Scene, Segmenter, segment_all
from diffseg.segmenters.dbscan import DBSCAN
from diffseg.segmenters.diffseg import DiffSeg
from diffseg.segmenters.kmeans import KMeans, KMeansS
from experiments.bench.inputs import aggregated_attention, stable_diffusion
from experiments.bench.measuring import NO_CUDA, Line, Settings, absent, seconds
from experiments.bench.pictures import PHOTOS, decoded

SIDE, QUICK_SIDE = 64, 24
SEEDS = 5
TRUE_CLASSES = 8  # near the mean of COCO-Stuff-27; differs from the 6 clusters of K-Means-C
# The rows on the 512 px tensor. With these values, DBSCAN finds clusters and noise in the synthetic attention.
ROWS: tuple[Segmenter, ...] = (
    *(KMeans(6, seed=seed) for seed in range(SEEDS)),
    *(KMeansS(seed=seed) for seed in range(SEEDS)),
    DBSCAN(0.004, 10),
    DiffSeg(1.1, grid="even"),
)
SMALL = (DiffSeg(1.1, grid="even"),)  # the row at 320 px
SIZES = {512: ROWS, 320: SMALL}
BATCH = 16
PICTURE_GOAL = 0.060  # seconds, the passes of the networks included


def rows_together(aggregated: Tensor, rows: Sequence[Segmenter], size: int) -> list[Tensor]:
    """Label maps of all rows on one tensor. The rows share work, as in a run."""
    scene = Scene(aggregated=aggregated, size=(size, size), true_classes=TRUE_CLASSES)
    kinds = {type(row): [other for other in rows if type(other) is type(row)] for row in rows}
    return [labels for alike in kinds.values() for labels in segment_all(scene, alike)]


def rows_alone(aggregated: Tensor, rows: Sequence[Segmenter], size: int) -> list[Tensor]:
    """Label maps of all rows on one tensor. The rows share no work."""
    return [row(Scene(aggregated=aggregated, size=(size, size), true_classes=TRUE_CLASSES)) for row in rows]


def lines(settings: Settings) -> list[Line]:
    """Times the segmenters on each device, then the whole picture on CUDA."""
    side = QUICK_SIDE if settings.quick else SIDE
    found = []
    for device in ("cpu", "cuda"):
        name = f"table1: the {len(ROWS)} rows on one tensor, S = {side}, {device}"
        if absent(device):
            found.append(Line(name, note=NO_CUDA))
            continue
        tensor = aggregated_attention(side).to(device)
        calls = {
            "together": partial(rows_together, tensor, ROWS, VAE_FACTOR * side),
            "alone": partial(rows_alone, tensor, ROWS, VAE_FACTOR * side),
        }
        took = seconds(calls, min(settings.repeats, 3), device)
        note = f"K-Means-C and -S with {SEEDS} seeds each, DBSCAN, DiffSeg"
        found.append(Line(name, "s", took["together"], took["alone"], "each row alone", note=note))
    name = "table1: a picture, SD v1.4 architecture, 512 and 320 px, float16, all rows but DinoSeg, cuda"
    if absent("cuda"):
        return [*found, Line(name, goal=PICTURE_GOAL, note=NO_CUDA)]
    models = {size: stable_diffusion(StableDiffusion(size=size, dtype="float16"), "cuda") for size in SIZES}
    took = seconds({"ours": partial(whole_batch, models)}, min(settings.repeats, 3), "cuda")
    note = f"decoded pictures to label maps, batches of {BATCH}"
    return [*found, Line(name, "s", took["ours"] / BATCH, goal=PICTURE_GOAL, note=note)]


def whole_batch(models: dict[int, UNetAttention]) -> None:
    """Passes a batch of decoded pictures through both sizes and all rows."""
    for size, model in models.items():
        images = torch.stack([decoded(id, size).image for id in PHOTOS.ids])
        batch = images.repeat(-(-BATCH // len(images)), 1, 1, 1)[:BATCH]
        for maps in model.attend(batch):
            rows_together(aggregate(maps.maps), SIZES[size], size)
