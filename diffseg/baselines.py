"""The paper's clustering baselines, K-Means and DBSCAN, on the same aggregated attention (Section 4.1)."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.cluster import DBSCAN, KMeans
from torch import Tensor

from diffseg.masks import cluster_means, grid_side, labels_from_proposals, upsample_nearest

Upsample = Literal["soft", "nearest"]
Noise = Literal["own", "nearest"]


@torch.no_grad()
def kmeans(
    aggregated: Tensor,
    clusters: int,
    seed: int = 0,
    n_init: int = 10,
    size: int = 512,
    upsample: Upsample = "soft",
) -> Tensor:
    """K-means (scikit-learn, k-means++) over the attention maps.

    Args:
        aggregated: ``(S*S, S*S)`` floating point; each row is a point.
        clusters: k, 1..S*S. The paper's K-Means-C takes the data set's mean number of classes in a picture, 6 on
            COCO-Stuff; K-Means-S the number in this very picture's ground truth.
        seed: of the random starts.
        n_init: number of starts, of which the one with the least inertia is kept, >= 1.
        size: side P of the label map in pixels.
        upsample: ``soft``: the clusters' mean maps compete for each pixel, as DiffSeg's proposals do. ``nearest``: each
            pixel takes the cluster of its cell.

    Returns:
        ``(size, size)`` int64 labels 0..clusters-1 on the device of ``aggregated``.

    Raises:
        ValueError: an argument out of range.
    """
    points = grid_side(aggregated) ** 2
    if not 1 <= clusters <= points:
        raise ValueError(f"clusters: must be 1..{points}, the number of attention maps, got {clusters}")
    if n_init < 1:
        raise ValueError(f"n_init: must be at least 1, got {n_init}")
    fitted = KMeans(clusters, init="k-means++", n_init=n_init, random_state=seed).fit(_points(aggregated))
    return _to_pixels(aggregated, fitted.labels_, size, upsample)


@torch.no_grad()
def dbscan(
    aggregated: Tensor,
    eps: float,
    min_samples: int,
    noise: Noise = "own",
    size: int = 512,
    upsample: Upsample = "soft",
) -> Tensor:
    """DBSCAN (scikit-learn, Euclidean) over the attention maps.

    Args:
        aggregated: ``(S*S, S*S)`` floating point; each row is a point.
        eps: radius of a neighbourhood, > 0, in the units of the attention maps.
        min_samples: neighbours, itself included, that make a core point, >= 1.
        noise: points of no cluster become a segment of their ``own``, the last label, or join the cluster with the
            ``nearest`` mean map.
        size: side P of the label map in pixels.
        upsample: as for `kmeans`.

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
    points = _points(aggregated)
    labels = DBSCAN(eps=eps, min_samples=min_samples).fit(points).labels_
    stray = labels == -1
    clusters = labels.max() + 1
    if noise == "own" or not clusters:
        labels[stray] = clusters
    elif stray.any():
        means = np.stack([points[labels == cluster].mean(axis=0) for cluster in range(clusters)])
        labels[stray] = cdist(points[stray], means).argmin(axis=1)
    return _to_pixels(aggregated, labels, size, upsample)


def _points(aggregated: Tensor) -> NDArray[np.float32]:
    return aggregated.float().cpu().numpy()


def _to_pixels(aggregated: Tensor, labels: NDArray[np.integer], size: int, upsample: Upsample) -> Tensor:
    """Cluster numbers of the S*S cells -> ``(size, size)``. Numbers are not interpolated: between 2 and 4 lies no 3."""
    if upsample not in get_args(Upsample):
        raise ValueError(f"upsample: must be one of {', '.join(get_args(Upsample))}, got {upsample!r}")
    cells = torch.from_numpy(labels.astype(np.int64)).to(aggregated.device)
    if upsample == "nearest":
        side = grid_side(aggregated)
        return upsample_nearest(cells.view(side, side), size)
    return labels_from_proposals(cluster_means(aggregated.float(), cells, int(labels.max()) + 1), size)
