"""Spectral clustering of the attention, or of features, into a given number of clusters, or into an automatic one.

`SpectralAuto` chooses the number by either of two published rules.

``elbow`` is CLASP (Curie and da Costa, arXiv 2509.25016): the eigenvalues of the graph suggest a number of clusters,
and the silhouette chooses one near it. The paper's abstract and a third party's design note were read, not its text.
CLASP's CRF is left out (``refine="pamr"`` takes its place); the limit of 15 clusters is the note's.

``kappa`` counts the eigenvalues of the normalised Laplacian below kappa, as Falcon does (Fast Proximal Linearization,
ICLR 2026) before its own optimisation. A summary of that paper was read. Its kappa, one for each data set, is not
known, and its optimisation cannot be written from the summary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import eigh
from sklearn.cluster import SpectralClustering
from sklearn.metrics import silhouette_score
from torch import Tensor

from diffseg.masks import UpsampleSetting, to_pixels
from diffseg.segmenters.base import CheckedSegmenter, Clusters, RandomSeed, Refinable, Scene, check_cells
from diffseg.segmenters.graphs import Input, WalkInput, points_of, walk_of
from diffseg.segmenters.kmeans import lloyd

Rule = Literal["elbow", "kappa"]
"""Rules that choose the number of clusters, see the module's text."""

Eigenpairs = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Eigenvalues, and eigenvectors as columns, in the same order."""

SPREAD = 0.5  # CLASP tries numbers within this fraction of the elbow's
MOST = 15  # the largest number of clusters that is tried


@dataclass(frozen=True)
class Spectral(Refinable):
    """Spectral clustering (Ng, Jordan and Weiss, NIPS 2001) of the S*S locations of the attention, by scikit-learn.

    The weight of an edge is the mean of the attention in both directions, (A + A^T) / 2.
    """

    open = ("clusters",)

    clusters: Clusters = 6
    seed: RandomSeed = 0
    upsample: UpsampleSetting = "soft"
    input: WalkInput = "attention"

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        check_cells("clusters", self.clusters, side * side - 1)
        return super().resolved(side, tuned)

    def prepare(self, scene: Scene) -> tuple[Tensor, Tensor]:
        walk = walk_of(scene, self.input)
        attention = walk.cpu().numpy()
        clustering = SpectralClustering(self.clusters, affinity="precomputed", random_state=self.seed)
        return walk, torch.from_numpy(clustering.fit((attention + attention.T) / 2).labels_)

    def finish(self, prepared: tuple[Tensor, Tensor], scene: Scene) -> Tensor:
        return to_pixels(*prepared, scene.size, self.upsample)


@dataclass(frozen=True)
class SpectralAuto(Refinable):
    """Spectral clustering of the attention, or of features, into a number of clusters that the picture decides.

    Attributes:
        rule: see `Rule`.
        kappa: for ``rule="kappa"``. The default was tuned on CamVid with DINOv2 ViT-S/14, whose eigenvalues but the
            first lie above 0.9.
        input: ``features``: their cosines, negative ones as 0; ``attention``: its mean with its transpose.
    """

    finishing = CheckedSegmenter.finishing | {"kappa"}

    rule: Annotated[
        Rule, Field(description="elbow: CLASP's eigengap and silhouette; kappa: eigenvalues below kappa")
    ] = "elbow"
    kappa: Annotated[float, Field(gt=0, le=1, description="eigenvalues of the Laplacian that count as clusters")] = (
        0.992
    )
    seed: RandomSeed = 0
    upsample: UpsampleSetting = "soft"
    input: Annotated[
        Input, Field(description="features (their cosines), or attention (its mean with its transpose)")
    ] = "features"

    def prepare(self, scene: Scene) -> tuple[Tensor, Tensor | Eigenpairs]:
        walk = walk_of(scene, self.input)
        if self.input == "features":
            points = points_of(scene, "features")
            graph = (points @ points.T).clamp(min=0)
        else:
            graph = (walk + walk.T) / 2
        weights = graph.cpu().double().numpy()
        if self.rule == "elbow":
            return walk, clusters_by_elbow(weights, self.seed)
        return walk, smallest_eigenpairs(weights)

    def finish(self, prepared: tuple[Tensor, Tensor | Eigenpairs], scene: Scene) -> Tensor:
        walk, clusters = prepared
        if not isinstance(clusters, Tensor):
            clusters = clusters_by_kappa(clusters, self.kappa, self.seed)
        return to_pixels(walk, clusters, scene.size, self.upsample)


def smallest_eigenpairs(weights: NDArray[np.float64]) -> Eigenpairs:
    """The `MOST` smallest eigenvalues of the normalised Laplacian, or all if there are fewer, and their eigenvectors.

    The ``weights`` are ``(n, n)``, symmetric, >= 0. Returns ascending ``(m,)``, and ``(n, m)``, one a column.
    """
    root, n = np.sqrt(weights.sum(axis=1)), len(weights)
    values, vectors = eigh(weights / root / root[:, None], subset_by_index=(max(0, n - MOST), n - 1))
    return 1 - values[::-1], vectors[:, ::-1]


def clusters_by_kappa(pairs: Eigenpairs, kappa: float, seed: int) -> Tensor:
    """Falcon's clusters, ``(n,)`` int64 on the CPU: as many as eigenvalues are below kappa, 1 to `MOST`.

    Takes the result of `smallest_eigenpairs`, kappa in 0..1, and the seed of the K-means.
    """
    values, vectors = pairs
    count = max(1, int((values < kappa).sum()))
    return lloyd(_unit_rows(vectors, count), count, seed)


def clusters_by_elbow(weights: NDArray[np.float64], seed: int) -> Tensor:
    """CLASP's clusters: of the numbers near `elbow`, the one with the largest silhouette; of equal ones the smallest.

    The ``weights`` are ``(n, n)``, symmetric, >= 0; ``seed`` is that of the K-means. Returns ``(n,)`` int64 on the CPU.
    """
    values, vectors = eigh(weights)
    values, vectors = values[::-1], vectors[:, ::-1]
    centre, most = elbow(values), min(MOST, len(weights) - 1)
    low = min(max(2, int(np.floor(centre * (1 - SPREAD)))), most)
    high = max(low, min(most, int(np.ceil(centre * (1 + SPREAD)))))
    best, chosen = -np.inf, torch.zeros(len(weights), dtype=torch.int64)
    for count in range(low, high + 1):
        rows = _unit_rows(vectors, count)
        labels = lloyd(rows, count, seed)
        if not 1 < len(labels.unique()) < len(labels):
            continue
        if (silhouette := silhouette_score(rows.numpy(), labels.numpy())) > best:
            best, chosen = silhouette, labels
    return chosen


def elbow(values: NDArray[np.float64]) -> int:
    """The number of clusters at the elbow of the gaps between ``(n,)`` descending eigenvalues, n >= 3.

    It is one more than the number, counted from 1, of the first gap farthest from the line through the outer gaps.

    >>> elbow(np.array([10.0, 9.0, 8.0, 1.0, 0.9, 0.8, 0.7]))
    4
    """
    gaps = -np.diff(values)
    place = np.arange(len(gaps))
    across, along = gaps[-1] - gaps[0], len(gaps) - 1
    distance = np.abs(across * place - along * (gaps - gaps[0]))  # times the length of the line
    return int(distance.argmax()) + 2


def _unit_rows(vectors: NDArray[np.float64], count: int) -> Tensor:
    """Rows of the first ``count`` columns, ``(n, count)`` float32, of unit length (Ng, Jordan and Weiss, NIPS 2001)."""
    return F.normalize(torch.from_numpy(vectors[:, :count].copy()), dim=1).float()
