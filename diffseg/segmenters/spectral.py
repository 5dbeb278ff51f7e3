"""Spectral clustering of the attention, or of features, with scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from sklearn.cluster import SpectralClustering
from torch import Tensor

from diffseg.masks import Upsample, to_pixels
from diffseg.segmenters.affinity import Input, walk_of
from diffseg.segmenters.base import Scene, check_clusters, check_seed, fill_in
from diffseg.segmenters.refinement import Refinable


@dataclass(frozen=True)
class Spectral(Refinable):
    """Spectral clustering (Ng, Jordan and Weiss, NIPS 2001) of the S*S locations of the attention.

    The weight of an edge is the mean of the attention in both directions, (A + A^T) / 2.

    Attributes:
        clusters: k, 1..S*S-1; None: the data set's mean number of classes in a picture.
        seed: seed of the K-means in the space of the first k eigenvectors.
        upsample: as for `diffseg.segmenters.kmeans.kmeans`.
        input: ``attention``, or ``features``: the walk on DiffCut's graph (`diffseg.segmenters.affinity.walk_of`).

    Raises:
        ValueError: ``clusters`` or ``seed`` is out of range.
    """

    clusters: int | None = 6
    seed: int = 0
    upsample: Upsample = "soft"
    input: Input = "attention"

    def __post_init__(self) -> None:
        check_clusters(self.clusters)
        check_seed(self.seed)

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        if self.clusters is not None and self.clusters >= side * side:
            raise ValueError(f"clusters: must be 1..{side * side - 1}, below the attention maps, got {self.clusters}")
        return fill_in(self, tuned)

    def segment(self, scene: Scene) -> Tensor:
        walk = walk_of(scene, self.input)
        attention = walk.cpu().numpy()
        clustering = SpectralClustering(self.clusters, affinity="precomputed", random_state=self.seed)
        labels = torch.from_numpy(clustering.fit((attention + attention.T) / 2).labels_)
        # K-means may leave a cluster empty; the others are renumbered without gaps.
        labels = labels.to(walk.device).unique(return_inverse=True)[1]
        return to_pixels(walk, labels, scene.size, self.upsample)
