"""K-means over the attention maps: the paper's K-Means-C and K-Means-S (Section 4.1).

`lloyd` follows scikit-learn's definition, order and random numbers in torch, several times faster and on any device.
All starts run at once: each step is one matrix product for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from diffseg.isolation import isolated
from diffseg.limits import Count
from diffseg.masks import Size, Upsample, UpsampleSetting, grid_side, height_width, to_pixels
from diffseg.precision import float32_products, float64_device
from diffseg.segmenters.base import Clusters, RandomSeed, Refinable, Scene, check_cells
from diffseg.segmenters.graphs import WalkInput, walk_of

# scikit-learn's `max_iter` and `tol`.
MAX_ITERATIONS = 300
TOLERANCE = 1e-4


@torch.no_grad()
@isolated
def kmeans(
    aggregated: Tensor,
    clusters: int,
    seed: int = 0,
    n_init: int = 10,
    size: Size = 512,
    upsample: Upsample = "soft",
) -> Tensor:
    """K-means (k-means++, Lloyd) over the attention maps: a baseline of the paper (Section 4.1).

    Args:
        aggregated: ``(S*S, S*S)`` floating point; each row is a point.
        clusters: k, 1..S*S. The paper's K-Means-C takes the data set's mean number of classes in a picture, 6 on
            COCO-Stuff; K-Means-S takes the number of classes in the picture's ground truth.
        seed: seed of the random starts, 0..2^32-1.
        n_init: number of starts, >= 1; the start with the least inertia is kept.
        size: side P of the label map in pixels, or (height, width).
        upsample: ``soft``: the clusters' mean maps compete for each pixel, as DiffSeg's proposals do. ``nearest``: each
            pixel takes the cluster of its cell.

    Returns:
        ``(P, P)``, or (height, width), int64 labels on the device of ``aggregated``: 0..clusters-1, or fewer if fewer
        maps differ.

    Raises:
        ValueError: ``aggregated`` has another shape or dtype, or an argument is out of range.

    >>> upper, lower = [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]
    >>> labels = kmeans(torch.tensor([upper, upper, lower, lower]), clusters=2, size=4)
    >>> bool((labels[:2] == labels[0, 0]).all() and (labels[2:] == 1 - labels[0, 0]).all())
    True
    """
    grid_side(aggregated)
    scene = Scene(size=height_width(size), aggregated=aggregated)
    return KMeans(clusters, seed=seed, n_init=n_init, upsample=upsample)(scene)


@dataclass(frozen=True, kw_only=True)
class Starts(Refinable):
    """K-means with random starts; a subclass gives the number of clusters."""

    seed: RandomSeed = 0
    n_init: Annotated[Count, Field(description="number of starts; the best is kept")] = 10
    upsample: UpsampleSetting = "soft"
    input: WalkInput = "attention"

    def count(self, scene: Scene) -> int:
        """Number of clusters, k, in this scene."""
        raise NotImplementedError

    def prepare(self, scene: Scene) -> tuple[Tensor, Tensor]:
        walk, count = walk_of(scene, self.input), self.count(scene)
        check_cells("clusters", count, grid_side(walk) ** 2)
        return walk, lloyd(walk, count, self.seed, self.n_init)

    def finish(self, prepared: tuple[Tensor, Tensor], scene: Scene) -> Tensor:
        return to_pixels(*prepared, scene.size, self.upsample)


@dataclass(frozen=True)
class KMeans(Starts):
    """K-means of the S*S attention maps with a fixed number of clusters, k: the paper's K-Means-C (Section 4.1)."""

    open = ("clusters",)

    clusters: Clusters = 6

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        check_cells("clusters", self.clusters, side * side)
        return super().resolved(side, tuned)

    def count(self, scene: Scene) -> int:
        assert self.clusters is not None  # resolved
        return self.clusters


@dataclass(frozen=True)
class KMeansS(Starts):
    """K-means with one cluster for each class in the picture's ground truth: the paper's K-Means-S (Section 4.1)."""

    needs_truth = True

    def count(self, scene: Scene) -> int:
        if scene.true_classes is None:
            raise ValueError("true_classes: K-Means-S needs the picture's ground truth, which is missing")
        return scene.true_classes


@torch.no_grad()
@float32_products()
def lloyd(points: Tensor, clusters: int, seed: int = 0, n_init: int = 10) -> Tensor:
    """Runs Lloyd's algorithm from several k-means++ starts and keeps the start with the least inertia.

    It does the same as scikit-learn's ``KMeans(clusters, n_init=n_init, random_state=seed)``, in its order and with its
    random numbers. The labels are equal unless rounding (here of float32 products) changes a choice.

    Takes ``(n, d)`` floating point, on any device, and 1..n clusters. Returns ``(n,)`` int64 in 0..k-1 on the CPU. If
    fewer than k points differ, some numbers are unused.
    """
    points = points.to(float64_device(points.device))
    points = points - points.mean(dim=0)  # distances stay the same, and lose fewer digits
    norms = torch.linalg.vector_norm(points, dim=1).square()
    centres = points[torch.from_numpy(_plus_plus(points, norms, clusters, seed, n_init))]
    sums = torch.zeros_like(centres)
    labels = torch.full((len(centres), len(points)), -1, device=points.device)
    tolerance = TOLERANCE * norms.mean() / points.shape[1]  # relative to the mean variance of a coordinate
    moving = torch.arange(len(centres))
    for _ in range(MAX_ITERATIONS):
        old, before = centres[moving], labels[moving]
        after, _ = _assign(points, old)
        sums[moving] += _change(points, before, after, clusters)
        new = _means(points, after, sums[moving], old)  # indexing makes a copy, which `_means` may change
        labels[moving], centres[moving] = after, new
        settled = (after == before).all(dim=1) | ((new - old).square().sum(dim=(1, 2)) <= tolerance)
        moving = moving[~settled.cpu()]  # on the CPU, which must know when to stop
        if not len(moving):
            break
    labels, least = _assign(points, centres)
    return _best(labels.cpu(), least.sum(dim=1, dtype=torch.float64).tolist(), clusters)


def _plus_plus(points: Tensor, norms: Tensor, clusters: int, seed: int, n_init: int) -> NDArray[np.int64]:
    """Rows of the points that k-means++ starts from, ``(n_init, clusters)``.

    Each further centre is the best of a few candidates, drawn with probability proportional to the squared distance to
    the nearest centre so far (the greedy variant of Arthur and Vassilvitskii, 2007).
    """
    count, trials = len(points), 2 + int(math.log(clusters))
    chosen = np.empty((n_init, clusters), np.int64)
    draws = np.empty((n_init, clusters - 1, trials))
    random = np.random.RandomState(seed)
    for start in range(n_init):
        chosen[start, 0] = random.choice(count, p=np.full(count, 1 / count))
        draws[start] = random.uniform(size=draws.shape[1:])

    def distances(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Squared distances from each of the ``rows`` to every point, ``(*rows.shape, n)``."""
        index = torch.from_numpy(rows.ravel()).to(points.device)
        squared = torch.addmm(norms, points[index], points.T, alpha=-2).add_(norms[index, None]).clamp_(min=0)
        return squared.view(*rows.shape, count).cpu().numpy()

    nearest = distances(chosen[:, 0])
    for step in range(1, clusters):
        shares = draws[:, step - 1] * nearest.sum(axis=1, keepdims=True)
        candidates = np.stack(
            [sums.searchsorted(share) for sums, share in zip(nearest.cumsum(axis=1), shares, strict=True)]
        )
        candidates = candidates.clip(max=count - 1)  # rounding can leave a share above the last sum
        reached = np.minimum(nearest[:, None], distances(candidates))
        best = reached.sum(axis=2).argmin(axis=1)
        starts = np.arange(n_init)
        nearest, chosen[:, step] = reached[starts, best], candidates[starts, best]
    return chosen


def _assign(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Finds the nearest of each start's ``(starts, k, d)`` centres for each point.

    Returns:
        ``(starts, n)`` int64, and the squared distances less the points' squared norms, of the same shape.
    """
    flat = centres.flatten(end_dim=1)
    relative = torch.addmm(flat.square().sum(dim=1, keepdim=True), flat, points.T, alpha=-2)
    least, labels = relative.view(*centres.shape[:2], -1).min(dim=1)
    return labels, least


def _members(labels: Tensor, clusters: int) -> Tensor:
    """``(starts, n)`` labels to ``(starts, k, n)`` bool."""
    return labels[:, None] == torch.arange(clusters, device=labels.device)[:, None]


def _change(points: Tensor, before: Tensor, after: Tensor, clusters: int) -> Tensor:
    """Change of each cluster's sum, ``(starts, k, d)``, when the ``(starts, n)`` labels change; -1: no cluster before.

    After the first few iterations few points change their cluster. Adding up only those saves half of the work.
    """
    changed = (before != after).any(dim=0).nonzero().flatten()
    gained, lost = (_members(labels[:, changed], clusters).to(points.dtype) for labels in (after, before))
    return ((gained - lost).flatten(end_dim=1) @ points[changed]).view(len(after), clusters, -1)


def _means(points: Tensor, labels: Tensor, sums: Tensor, centres: Tensor) -> Tensor:
    """Means ``(starts, k, d)`` of the clusters of ``(starts, n)`` labels.

    As in scikit-learn, an empty cluster is given the point farthest from its centre.
    """
    counts = _members(labels, sums.shape[1]).sum(dim=2)
    for start in (counts == 0).any(dim=1).cpu().nonzero().flatten().tolist():
        empty = (counts[start] == 0).nonzero().flatten()
        far = (points - centres[start][labels[start]]).square().sum(dim=1).topk(len(empty))
        if not far.values[0]:
            continue  # fewer points differ than there are clusters
        for new, point in zip(empty, far.indices, strict=True):
            old = labels[start, point]
            sums[start, old] -= points[point]
            counts[start, old] -= 1
            sums[start, new] = points[point]
            counts[start, new] = 1
    return sums / counts.clamp(min=1)[:, :, None]


def _best(labels: Tensor, inertia: list[float], clusters: int) -> Tensor:
    """The labels of least inertia, or the first of those that differ only in how they number the clusters."""
    best = 0
    for start in range(1, len(labels)):
        if inertia[start] < inertia[best]:
            pairs = (labels[start] * clusters + labels[best]).unique()
            if len(pairs) > len(labels[start].unique()):
                best = start
    return labels[best]
