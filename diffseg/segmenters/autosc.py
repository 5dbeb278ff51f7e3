"""AutoSC, DiffCut's clustering without a threshold: the number of segments follows from the graph's eigenvalues.

It is spectral clustering of the features (Couairon et al., arXiv 2406.02842). The largest relative gap between
eigenvalues chooses the exponent of the affinity and the number of clusters. A pivoted QR decomposition of the
eigenvectors assigns the clusters (Damle, Minden and Ying, 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import eigh, eigvalsh, qr, svd
from torch import Tensor

from diffseg.segmenters.affinity import Assign, PointInput, affinity_of, assign_pixels, points_of
from diffseg.segmenters.base import Scene
from diffseg.segmenters.diffcut import ASSIGN_SIDE
from diffseg.segmenters.refinement import Refinable, refined

EigenRule = Literal["paper", "official"]
"""Eigenvectors that are clustered. ``paper``: those of the chosen alpha. ``official``: those of the last alpha, because
the authors' code overwrites the eigenvectors of the chosen one."""

ALPHAS = (1.0, 5.0, 10.0, 15.0)  # exponents that the authors try
TINY = 1e-6  # keeps the mean of the eigenvalues above 0, as in the authors' code


@dataclass(frozen=True)
class AutoSC(Refinable):
    """Spectral clustering of features; the largest eigengap sets the number of segments (AutoSC, arXiv 2406.02842)."""

    rule: Annotated[
        EigenRule, Field(description="eigenvectors of the chosen alpha (paper), or of the last (official: their code)")
    ] = "paper"
    input: PointInput = "features"
    assign: Assign = ASSIGN_SIDE

    def __call__(self, scene: Scene) -> Tensor:
        return refined(self.refine, self.segment, scene)

    def segment(self, scene: Scene) -> Tensor:
        """Labels without refinement."""
        points = points_of(scene, self.input)
        labels = torch.from_numpy(auto_clusters(affinity_of(points, 1.0), self.rule)).to(points.device)
        # A cluster may be empty; the others are renumbered without gaps.
        return assign_pixels(points, labels.unique(return_inverse=True)[1], scene, self.assign)


def auto_clusters(affinity: Tensor, rule: EigenRule = "paper") -> NDArray[np.int64]:
    """Clusters a graph, its affinity raised to the best of the `ALPHAS`.

    Args:
        affinity: ``(n, n)`` symmetric, values in 0..1, the diagonal above 0.
        rule: see `EigenRule`.

    Returns:
        ``(n,)`` labels in 0..k-1; all 0 if no eigenvalue exceeds the mean of those before it, or if all features are
        equal. (The authors' code raises UnboundLocalError in both cases.)
    """
    weights = affinity.cpu().double().numpy()  # float64, because the smallest eigenvalues decide
    found = [eigengap(eigvalsh(_normalised_laplacian(weights**alpha))) for alpha in ALPHAS]
    best = int(np.argmax([gap for gap, _ in found]))  # the first of equal gaps
    clusters = found[best][1]
    if clusters == 0:
        return np.zeros(len(weights), dtype=np.int64)
    chosen = weights ** (ALPHAS[best] if rule == "paper" else ALPHAS[-1])
    vectors = eigh(_normalised_laplacian(chosen))[1][:, :clusters]
    return cluster_qr(vectors / np.sqrt(chosen.sum(axis=1))[:, None])


def _normalised_laplacian(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """``D^-1/2 (D - W) D^-1/2``."""
    root = np.sqrt(weights.sum(axis=1))
    laplacian: NDArray[np.float64] = np.eye(len(weights)) - weights / root / root[:, None]
    return laplacian


def eigengap(values: NDArray[np.float64]) -> tuple[float, int]:
    """Finds the eigenvalue with the largest ratio to the mean of all eigenvalues up to it, itself included.

    Args:
        values: ``(n,)`` ascending.

    Returns:
        Its excess over that mean, as a fraction of the mean, and the number of eigenvalues before it.
    """
    means = np.cumsum(values) / np.arange(1, len(values) + 1)
    gaps = (values - means) / (means + TINY)
    largest = int(gaps.argmax())
    return float(gaps[largest]), largest


def cluster_qr(vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Assigns each row of k eigenvectors to a cluster, without a random start (Damle, Minden and Ying, 2019).

    Args:
        vectors: ``(n, k)``, n >= k.

    Returns:
        ``(n,)`` in 0..k-1.
    """
    clusters = vectors.shape[1]
    pivots = qr(vectors.T, mode="r", pivoting=True)[-1][:clusters]  # the k rows that differ most
    left, _, right = svd(vectors[pivots].T)
    labels: NDArray[np.int64] = np.abs(vectors @ (left @ right)).argmax(axis=1)
    return labels
