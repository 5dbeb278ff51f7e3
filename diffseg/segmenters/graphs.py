"""The input of a segmenter, as points, as a random walk or as a graph, and the eigenvectors of graphs.

The input is the aggregated attention, or one layer's features; each can replace the other. A method for attention
expects a random walk: ``(n, n)``, rows sum to 1. `walk_of` also computes one from features. A method for features
expects points: ``(n, C)``, unit length. `points_of` also computes them from attention. So the effect of the input
can be measured separately from that of the method.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from diffseg.limits import Count
from diffseg.masks import cluster_means, labels_from_proposals, upsample_nearest
from diffseg.precision import float64_device
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
ASSIGN_SIDE = 128  # DiffCut's side of the label map

# Largest graph, in nodes, for the dense eigensolver. Lanczos needs more than a few nodes, and is no faster below that.
DENSE = 64
TOLERANCE = 1e-5  # relative error of Lanczos' eigenvalue; the products are float32
TINY = torch.finfo(torch.float32).tiny


def affinity_of(points: Tensor, alpha: float) -> Tensor:
    """Cosine similarity of all pairs of ``(n, C)`` float32 unit vectors, stretched to 0..1, to the power alpha > 0.

    As in DiffCut's code. Returns ``(n, n)`` float32, symmetric; all ones if all similarities are equal.
    """
    cosine = points @ points.T
    low, high = cosine.aminmax()
    if low == high:
        return torch.ones_like(cosine)
    return cosine.sub_(low).div_(high - low).pow_(alpha)  # in place: no new matrices


def points_of(scene: Scene, read: Input) -> Tensor:
    """Unit vectors ``(n, C)`` float32: the features of each location, or its attention map.

    Raises ValueError if the scene has no features.
    """
    if read == "attention":
        return F.normalize(scene.aggregated.float(), dim=1)
    if scene.features is None:
        raise ValueError("features: this backbone computes no features, which this segmenter needs")
    return F.normalize(scene.features.float(), dim=1)


def walk_of(scene: Scene, read: Input) -> Tensor:
    """Transition probabilities ``(n, n)`` float32: the attention, or ``D^-1 W`` on DiffCut's graph of the features.

    Raises ValueError as `points_of` does.
    """
    if read == "attention":
        return scene.aggregated.float()
    affinity = affinity_of(points_of(scene, "features"), ALPHA)
    return affinity / affinity.sum(dim=1, keepdim=True)


def assign_pixels(points: Tensor, labels: Tensor, scene: Scene, assign: int | None = None) -> Tensor:
    """Gives each pixel the segment whose mean is most similar to the pixel's upsampled point (DiffCut's third step).

    The ``points`` are ``(n, C)`` unit vectors of a square grid, the ``labels`` ``(n,)`` integers, which are renumbered
    without gaps. ``assign`` is the side in pixels of a smaller label map, whose pixels are then repeated up to the
    scene's size; None: the pixels of the scene's size are assigned directly. Returns (height, width) int64 from 0.
    """
    # Similarity to a mean is linear in the points, so upsampling it equals upsampling the points.
    similarity = cluster_means(points, labels.unique(return_inverse=True)[1]) @ points.T
    if assign is None:
        return labels_from_proposals(similarity, scene.size)
    return upsample_nearest(labels_from_proposals(similarity, assign), scene.size)


def second_eigenvector(affinity: Tensor) -> Tensor:
    """Solution of ``(D - W) y = lambda D y`` with the second smallest lambda (Shi and Malik, Eq. 6), ``(n,)`` float32.

    W is ``(n, n)`` float32, symmetric, >= 0. The solution is ``D^-1/2 z`` with the eigenvector z of ``D^-1/2 W D^-1/2``
    that has the second largest eigenvalue. The first eigenvector, ``D^1/2 1``, is known; subtracting it twice moves its
    eigenvalue from 1 to -1.
    """
    root = affinity.sum(dim=1).clamp(min=TINY).sqrt()
    first = root / torch.linalg.vector_norm(root)

    if len(affinity) <= DENSE:
        matrix = affinity / root / root[:, None] - 2 * torch.outer(first, first)
        matrix = matrix.to(float64_device(matrix.device), torch.float64)
        return torch.linalg.eigh(matrix)[1][:, -1].to(root) / root

    def product(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        z = torch.from_numpy(vector).ravel().to(root)
        return (affinity @ (z / root) / root - 2 * first * (first @ z)).cpu().double().numpy()

    # Lanczos runs on the CPU, its products on the device of the graph. A fixed start makes it repeatable.
    operator = LinearOperator(affinity.shape, matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(len(affinity))
    vector = eigsh(operator, k=1, which="LA", v0=start, tol=TOLERANCE)[1][:, 0]
    return torch.from_numpy(vector).to(root) / root
