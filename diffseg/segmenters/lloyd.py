"""K-means as scikit-learn defines it. All starts run at once: each step is one matrix product for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffseg.precision import float32_products, float64_device

# scikit-learn's `max_iter` and `tol`.
MAX_ITERATIONS = 300
TOLERANCE = 1e-4


def cluster(points: Tensor, clusters: int, seed: int = 0, n_init: int = 10) -> Tensor:
    """Labels ``(n,)`` of one seed, see `cluster_seeds`."""
    return cluster_seeds(points, clusters, (seed,), n_init)[0]


@torch.no_grad()
@float32_products()
def cluster_seeds(points: Tensor, clusters: int, seeds: Sequence[int], n_init: int = 10) -> Tensor:
    """Runs Lloyd's algorithm from several k-means++ starts and keeps the start with the least inertia.

    For each seed it does the same as scikit-learn's ``KMeans(clusters, n_init=n_init, random_state=seed)``, in its
    order and with its random numbers. The labels are equal unless rounding (here of float32 products) changes a choice.
    The starts of all seeds share their matrix products.

    Args:
        points: ``(n, d)`` floating point, on any device.
        clusters: k, 1..n.
        seeds: seeds of the random starts, one or more.
        n_init: number of starts per seed, >= 1.

    Returns:
        ``(seeds, n)`` int64 in 0..k-1 on the CPU. If fewer than k points differ, some numbers are unused.
    """
    points = points.to(float64_device(points.device))
    points = points - points.mean(dim=0)  # distances stay the same, and lose fewer digits
    norms = torch.linalg.vector_norm(points, dim=1).square()
    centres = points[torch.from_numpy(_plus_plus(points, norms, clusters, seeds, n_init))]
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
    inertia = least.sum(dim=1, dtype=torch.float64).tolist()
    kept = labels.cpu().view(len(seeds), n_init, -1)
    return torch.stack(
        [each[_best(each, inertia[i * n_init : (i + 1) * n_init], clusters)] for i, each in enumerate(kept)]
    )


def _plus_plus(points: Tensor, norms: Tensor, clusters: int, seeds: Sequence[int], n_init: int) -> NDArray[np.int64]:
    """Rows of the points that k-means++ starts from, ``(seeds * n_init, clusters)``.

    Each further centre is the best of a few candidates, drawn with probability proportional to the squared distance to
    the nearest centre so far (the greedy variant of Arthur and Vassilvitskii, 2007).
    """
    count, trials = len(points), 2 + int(math.log(clusters))
    starts = np.arange(len(seeds) * n_init)
    chosen = np.empty((len(starts), clusters), np.int64)
    draws = np.empty((len(starts), clusters - 1, trials))
    for number, seed in enumerate(seeds):
        random = np.random.RandomState(seed)
        for start in starts[number * n_init :][:n_init]:
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

    An empty cluster is given the point farthest from its centre.
    """
    counts = _members(labels, sums.shape[1]).sum(dim=2)
    for start in (counts == 0).any(dim=1).cpu().nonzero().flatten().tolist():
        _relocate(points, labels[start], centres[start], sums[start], counts[start])
    return sums / counts.clamp(min=1)[:, :, None]


def _relocate(points: Tensor, labels: Tensor, centres: Tensor, sums: Tensor, counts: Tensor) -> None:
    """Moves the points farthest from their centres into one start's empty clusters, in place, as scikit-learn does."""
    empty = (counts == 0).nonzero().flatten()
    far = (points - centres[labels]).square().sum(dim=1).topk(len(empty))
    if not far.values[0]:
        return  # fewer points differ than there are clusters
    for new, point in zip(empty, far.indices, strict=True):
        sums[labels[point]] -= points[point]
        counts[labels[point]] -= 1
        sums[new] = points[point]
        counts[new] = 1


def _best(labels: Tensor, inertia: list[float], clusters: int) -> int:
    """The start with the least inertia, or the first of those that differ only in how they number the clusters."""
    best = 0
    for start in range(1, len(labels)):
        if inertia[start] < inertia[best]:
            pairs = (labels[start] * clusters + labels[best]).unique()
            if len(pairs) > len(labels[start].unique()):
                best = start
    return best
