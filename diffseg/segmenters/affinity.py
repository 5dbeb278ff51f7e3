"""The input of a segmenter: the aggregated attention, or one layer's features. Each can replace the other.

A method for attention expects a random walk: ``(n, n)``, rows sum to 1. `walk_of` also computes one from features. A
method for features expects points: ``(n, C)``, unit length. `points_of` also computes them from attention. So the
effect of the input can be measured separately from the effect of the method.
"""

from __future__ import annotations

from math import isqrt
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from diffseg.limits import Count
from diffseg.masks import cluster_means, labels_from_proposals, upsample_nearest
from diffseg.segmenters.base import Scene

Input = Literal["attention", "features"]
"""``attention``: the aggregated attention; ``features``: features of one layer of the backbone."""

WalkInput = Annotated[
    Input, Field(description="attention, or features of one layer (the random walk on DiffCut's graph of them)")
]
PointInput = Annotated[
    Input, Field(description="features of one layer, or attention (each location's attention map is its feature)")
]
Assign = Annotated[
    Count | None,
    Field(description="side in pixels of the label map, repeated up to the scored size; null: the scored size"),
]

ALPHA = 10.0  # DiffCut's exponent of the affinity


def affinity_of(points: Tensor, alpha: float) -> Tensor:
    """Cosine similarity of all pairs, stretched to 0..1, to the power alpha, as in DiffCut's code.

    Args:
        points: ``(n, C)`` float32, rows of unit length.
        alpha: > 0.

    Returns:
        ``(n, n)`` float32 in 0..1, symmetric; all ones if all similarities are equal.
    """
    cosine = points @ points.T
    low, high = cosine.aminmax()
    if low == high:
        return torch.ones_like(cosine)
    return ((cosine - low) / (high - low)) ** alpha


def points_of(scene: Scene, read: Input) -> Tensor:
    """Unit vectors: the features of each location, or its attention map.

    Returns:
        ``(n, C)`` float32 on the scene's device, for the n locations of the input.

    Raises:
        ValueError: the scene has no features.
    """
    return F.normalize(scene.aggregated.float() if read == "attention" else _features(scene), dim=1)


def walk_of(scene: Scene, read: Input) -> Tensor:
    """Transition probabilities: the attention, or the random walk ``D^-1 W`` on DiffCut's graph of the features.

    Returns:
        ``(n, n)`` float32, rows sum to 1.

    Raises:
        ValueError: as `points_of`.
    """
    if read == "attention":
        return scene.aggregated.float()
    affinity = affinity_of(points_of(scene, "features"), ALPHA)
    return affinity / affinity.sum(dim=1, keepdim=True)


def _features(scene: Scene) -> Tensor:
    if scene.features is None:
        raise ValueError("features: this backbone computes no features, which this segmenter needs")
    return scene.features.float()


def assign_pixels(points: Tensor, labels: Tensor, scene: Scene, assign: int | None = None) -> Tensor:
    """Gives each pixel the segment whose mean is most similar to the pixel's upsampled point (DiffCut's third step).

    Args:
        points: ``(n, C)`` unit vectors of a square grid.
        labels: ``(n,)`` int64 in 0..K-1, every number used.
        scene: gives the size of the label map.
        assign: side in pixels of a smaller label map, whose pixels are then repeated up to the scene's size; None: the
            pixels of the scene's size are assigned directly.

    Returns:
        ``(P, P)``, or (height, width), int64 in 0..K-1 on the device of the points.
    """
    # Similarity to a mean is linear in the points, so upsampling it equals upsampling the points.
    similarity = cluster_means(points, labels, int(labels.max()) + 1) @ points.T
    assert similarity.shape[1] == isqrt(similarity.shape[1]) ** 2  # as `AttentionMaps` has checked
    if assign is None:
        return labels_from_proposals(similarity, scene.size)
    return upsample_nearest(labels_from_proposals(similarity, assign), scene.size)
