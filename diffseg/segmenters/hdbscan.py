"""HDBSCAN of the attention maps, with scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from sklearn.cluster import HDBSCAN as SklearnHDBSCAN
from sklearn.metrics import euclidean_distances
from torch import Tensor

from diffseg.masks import Upsample, to_pixels
from diffseg.segmenters.base import Scene
from diffseg.segmenters.dbscan import Noise, settle_noise
from diffseg.segmenters.refinement import Refinable


@dataclass(frozen=True)
class HDBSCAN(Refinable):
    """HDBSCAN (Campello et al., PAKDD 2013), Euclidean, over the S*S attention maps: DBSCAN without a radius to choose.

    Attributes:
        min_cluster_size: smallest cluster, in attention maps, >= 2.
        min_samples: neighbours, itself included, within a point's core distance, >= 1.
        noise, upsample: as for `diffseg.segmenters.dbscan.dbscan`.

    Raises:
        ValueError: ``min_cluster_size`` or ``min_samples`` is out of range.
    """

    min_cluster_size: int = 10
    min_samples: int = 20
    noise: Noise = "own"
    upsample: Upsample = "soft"

    def __post_init__(self) -> None:
        if self.min_cluster_size < 2:
            raise ValueError(f"min_cluster_size: must be at least 2, got {self.min_cluster_size}")
        if self.min_samples < 1:
            raise ValueError(f"min_samples: must be at least 1, got {self.min_samples}")

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        if self.min_samples > side * side:
            raise ValueError(f"min_samples: must be 1..{side * side}, the attention maps, got {self.min_samples}")
        return self

    def segment(self, scene: Scene) -> Tensor:
        points = scene.aggregated.float()
        # One matrix product gives all distances. scikit-learn's tree would compute them one at a time, because the
        # points have thousands of dimensions.
        distances = euclidean_distances(points.cpu().numpy())
        clustering = SklearnHDBSCAN(self.min_cluster_size, self.min_samples, metric="precomputed", copy=False)
        labels = torch.from_numpy(clustering.fit(distances).labels_).to(points.device, torch.int64)
        return to_pixels(points, settle_noise(points, labels, self.noise), scene.size, self.upsample)
