"""HDBSCAN of the attention maps, with scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

import torch
from pydantic import Field
from sklearn.cluster import HDBSCAN as SklearnHDBSCAN
from sklearn.metrics import euclidean_distances
from torch import Tensor

from diffseg.limits import Count
from diffseg.masks import UpsampleSetting, to_pixels
from diffseg.segmenters.base import Refinable, Scene, check_cells
from diffseg.segmenters.dbscan import NoiseSetting, settle_noise


@dataclass(frozen=True)
class HDBSCAN(Refinable):
    """HDBSCAN (Campello et al., PAKDD 2013), Euclidean, over the S*S attention maps: DBSCAN without a radius to choose.

    scikit-learn's result depends on the order of the points where distances are equal, so a mirrored picture may get
    other segments.
    """

    min_cluster_size: Annotated[int, Field(ge=2, description="smallest cluster, in attention maps")] = 11
    # The size above was tuned on CamVid, the number below on the eight photographs, both with DINOv2 ViT-S/14.
    min_samples: Annotated[Count, Field(description="neighbours, itself included, within a point's core distance")] = 20
    noise: NoiseSetting = "own"
    upsample: UpsampleSetting = "soft"

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        check_cells("min_samples", self.min_samples, side * side)
        return self

    def prepare(self, scene: Scene) -> Tensor:
        points = scene.aggregated.float()
        # One matrix product gives all distances. scikit-learn's tree would compute them one at a time, because the
        # points have thousands of dimensions.
        distances = euclidean_distances(points.cpu().numpy())
        clustering = SklearnHDBSCAN(self.min_cluster_size, self.min_samples, metric="precomputed", copy=False)
        return settle_noise(points, torch.from_numpy(clustering.fit(distances).labels_), self.noise)

    def finish(self, prepared: Tensor, scene: Scene) -> Tensor:
        return to_pixels(scene.aggregated, prepared, scene.size, self.upsample)
