"""What a segmenter reads: the aggregated attention, or one layer's features. Each can stand in for the other.

A method of the attention (a random walk, ``(n, n)``, rows sum to 1) reads features through `walk_of`; a method of the
features (points, ``(n, C)``) reads attention through `points_of`. So the choice of the input and the choice of the
method can be told apart.
"""

from __future__ import annotations

from math import isqrt
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from diffseg.masks import cluster_means, labels_from_proposals, upsample_nearest
from diffseg.segmenters.base import Scene, check_choices

Input = Literal["attention", "features"]
"""``attention``: the aggregated attention; ``features``: the backbone's, of one layer."""

ALPHA = 10.0  # DiffCut's exponent of the affinity


def affinity_of(points: Tensor, alpha: float) -> Tensor:
    """Cosine similarity of all pairs, stretched to 0..1, to the power alpha (DiffCut, Section 3.2).

    Args:
        points: ``(n, C)`` float32, rows of unit length.
        alpha: > 0.

    Returns:
        ``(n, n)`` float32, symmetric; all ones where the points do not differ.
    """
    cosine = points @ points.T
    low, high = cosine.aminmax()
    if low == high:
        return torch.ones_like(cosine)
    return ((cosine - low) / (high - low)) ** alpha


def points_of(scene: Scene, read: Input) -> Tensor:
    """Unit vectors: the features of each location, or its attention map.

    Returns:
        ``(n, C)`` float32 on the scene's device; n is the number of locations of what is read.

    Raises:
        ValueError: the backbone gave no features; ``read`` is unknown.
    """
    check_choices(input=(read, Input))
    return F.normalize(scene.aggregated.float() if read == "attention" else _features(scene), dim=1)


def walk_of(scene: Scene, read: Input) -> Tensor:
    """Transition probabilities: the attention, or the random walk ``D^-1 W`` on DiffCut's graph of the features.

    Returns:
        ``(n, n)`` float32, rows sum to 1.

    Raises:
        ValueError: as `points_of`.
    """
    check_choices(input=(read, Input))
    if read == "attention":
        return scene.aggregated.float()
    affinity = affinity_of(points_of(scene, "features"), ALPHA)
    return affinity / affinity.sum(dim=1, keepdim=True)


def _features(scene: Scene) -> Tensor:
    if scene.features is None:
        raise ValueError("features: this backbone gives none, and this segmenter reads nothing else")
    return scene.features.float()


def check_assign(assign: int | None) -> None:
    """Raises ValueError unless pixels can be assigned at this side."""
    if assign is not None and assign < 1:
        raise ValueError(f"assign: must be at least 1 pixel, or null, got {assign}")


def assign_pixels(points: Tensor, labels: Tensor, scene: Scene, assign: int | None = None) -> Tensor:
    """Gives each pixel the segment whose mean point is most similar to the upsampled points (DiffCut, Section 3.3).

    Args:
        points: ``(n, C)`` unit vectors of a square grid.
        labels: ``(n,)`` int64 in 0..K-1, every number used.
        scene: its size is the label map's.
        assign: side in pixels at which similarities are compared, and from which pixels are repeated up to the
            scene's size; None: that size itself.

    Returns:
        ``(P, P)`` int64.
    """
    # Similarity to a mean is linear: upsampling it is upsampling the points.
    similarity = cluster_means(points, labels, int(labels.max()) + 1) @ points.T
    assert similarity.shape[1] == isqrt(similarity.shape[1]) ** 2  # as `AttentionMaps` has checked
    if assign is None:
        return labels_from_proposals(similarity, scene.size)
    return upsample_nearest(labels_from_proposals(similarity, assign), scene.size)
