"""The paper's clustering baselines, K-Means and DBSCAN, on the same aggregated attention (Section 4.1).

Both are scikit-learn's. `diffseg.lloyd` and `diffseg.density` follow its definitions, order and random numbers in
torch, several times faster and on any device; ``impl`` chooses.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN, KMeans
from torch import Tensor

from diffseg import density, lloyd
from diffseg.masks import Size, cluster_means, grid_side, labels_from_proposals, upsample_nearest

Upsample = Literal["soft", "nearest"]
Noise = Literal["own", "nearest"]
Impl = Literal["torch", "sklearn"]


@torch.no_grad()
def kmeans(
    aggregated: Tensor,
    clusters: int,
    seed: int = 0,
    n_init: int = 10,
    size: Size = 512,
    upsample: Upsample = "soft",
    impl: Impl = "torch",
) -> Tensor:
    """K-means (k-means++, Lloyd) over the attention maps.

    Args:
        aggregated: ``(S*S, S*S)`` floating point; each row is a point.
        clusters: k, 1..S*S. The paper's K-Means-C takes the data set's mean number of classes in a picture, 6 on
            COCO-Stuff; K-Means-S the number in this very picture's ground truth.
        seed: of the random starts.
        n_init: number of starts, of which the one with the least inertia is kept, >= 1.
        size: side P of the label map in pixels, or (height, width).
        upsample: ``soft``: the clusters' mean maps compete for each pixel, as DiffSeg's proposals do. ``nearest``: each
            pixel takes the cluster of its cell.
        impl: ``torch``, or ``sklearn``, the reference.

    Returns:
        ``(size, size)`` int64 labels on the device of ``aggregated``: 0..clusters-1, or fewer where fewer maps differ.

    Raises:
        ValueError: an argument out of range.
    """
    points = grid_side(aggregated) ** 2
    if not 1 <= clusters <= points:
        raise ValueError(f"clusters: must be 1..{points}, the number of attention maps, got {clusters}")
    if n_init < 1:
        raise ValueError(f"n_init: must be at least 1, got {n_init}")
    _check_choices(upsample, impl)
    if impl == "torch":
        labels = lloyd.cluster(aggregated.float(), clusters, seed, n_init)
    else:
        fitted = KMeans(clusters, init="k-means++", n_init=n_init, random_state=seed).fit(_points(aggregated))
        labels = torch.from_numpy(fitted.labels_).to(aggregated.device, torch.int64)
    # Where fewer maps differ than there are clusters, some stay empty; the others close ranks.
    return to_pixels(aggregated, labels.unique(return_inverse=True)[1], size, upsample)


@torch.no_grad()
def dbscan(
    aggregated: Tensor,
    eps: float,
    min_samples: int,
    noise: Noise = "own",
    size: Size = 512,
    upsample: Upsample = "soft",
    impl: Impl = "torch",
) -> Tensor:
    """DBSCAN (Euclidean) over the attention maps.

    Args:
        aggregated: ``(S*S, S*S)`` floating point; each row is a point.
        eps: radius of a neighbourhood, > 0, in the units of the attention maps.
        min_samples: neighbours, itself included, that make a core point, >= 1.
        noise: points of no cluster become a segment of their ``own``, the last label, or join the cluster with the
            ``nearest`` mean map.
        size: side P of the label map in pixels, or (height, width).
        upsample: as for `kmeans`.
        impl: as for `kmeans`.

    Returns:
        ``(size, size)`` int64 labels on the device of ``aggregated``; a picture that is all noise is one segment.

    Raises:
        ValueError: an argument out of range.
    """
    grid_side(aggregated)
    if not eps > 0:
        raise ValueError(f"eps: must be above 0, got {eps}")
    if min_samples < 1:
        raise ValueError(f"min_samples: must be at least 1, got {min_samples}")
    if noise not in get_args(Noise):
        raise ValueError(f"noise: must be one of {', '.join(get_args(Noise))}, got {noise!r}")
    _check_choices(upsample, impl)
    points = aggregated.float()
    if impl == "torch":
        labels = density.cluster(points, eps, min_samples)
    else:
        fitted = DBSCAN(eps=eps, min_samples=min_samples).fit(_points(points))
        labels = torch.from_numpy(fitted.labels_).to(points.device)
    return to_pixels(aggregated, settle_noise(points, labels, noise), size, upsample)


def settle_noise(points: Tensor, labels: Tensor, noise: Noise) -> Tensor:
    """Cluster numbers ``(n,)`` of ``(n, d)`` points with -1, noise, replaced as `dbscan` says."""
    stray = labels == -1
    clusters = int(labels.max()) + 1
    if noise == "own" or not clusters:
        return labels.masked_fill(stray, clusters)
    means = cluster_means(points[~stray], labels[~stray], clusters)
    return labels.masked_scatter(stray, torch.cdist(points[stray].double(), means.double()).argmin(dim=1))


def _points(aggregated: Tensor) -> NDArray[np.float32]:
    return aggregated.float().cpu().numpy()


def _check_choices(upsample: str, impl: str) -> None:
    for name, value, allowed in (("upsample", upsample, Upsample), ("impl", impl, Impl)):
        if value not in get_args(allowed):
            raise ValueError(f"{name}: must be one of {', '.join(get_args(allowed))}, got {value!r}")


def to_pixels(aggregated: Tensor, labels: Tensor, size: Size, upsample: Upsample) -> Tensor:
    """Cluster numbers of the S*S cells -> a label map. Numbers are not interpolated: between 2 and 4 lies no 3."""
    if upsample == "nearest":
        side = grid_side(aggregated)
        return upsample_nearest(labels.view(side, side), size)
    return labels_from_proposals(cluster_means(aggregated.float(), labels, int(labels.max()) + 1), size)
