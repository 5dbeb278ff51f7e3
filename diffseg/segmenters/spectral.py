"""Spectral clustering of the attention, or of features, with scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from sklearn.cluster import SpectralClustering
from torch import Tensor

from diffseg.masks import UpsampleSetting, to_pixels
from diffseg.segmenters.affinity import WalkInput, walk_of
from diffseg.segmenters.base import Clusters, RandomSeed, Scene, check_cells, fill_in
from diffseg.segmenters.refinement import Refinable


@dataclass(frozen=True)
class Spectral(Refinable):
    """Spectral clustering (Ng, Jordan and Weiss, NIPS 2001) of the S*S locations of the attention.

    The weight of an edge is the mean of the attention in both directions, (A + A^T) / 2.
    """

    clusters: Clusters = 6
    seed: RandomSeed = 0
    upsample: UpsampleSetting = "soft"
    input: WalkInput = "attention"

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        check_cells("clusters", self.clusters, side * side - 1)
        return fill_in(self, tuned)

    def segment(self, scene: Scene) -> Tensor:
        walk = walk_of(scene, self.input)
        attention = walk.cpu().numpy()
        clustering = SpectralClustering(self.clusters, affinity="precomputed", random_state=self.seed)
        labels = torch.from_numpy(clustering.fit((attention + attention.T) / 2).labels_)
        # K-means may leave a cluster empty; the others are renumbered without gaps.
        labels = labels.to(walk.device).unique(return_inverse=True)[1]
        return to_pixels(walk, labels, scene.size, self.upsample)
