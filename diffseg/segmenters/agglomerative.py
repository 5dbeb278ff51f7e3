"""Agglomerative clustering of features or attention, average linkage, with scikit-learn.

It is the first stage of INSID3 (arXiv 2603.28480), which finds the fine segments of a picture from DINOv3's features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field
from sklearn.cluster import AgglomerativeClustering
from torch import Tensor

from diffseg.segmenters.affinity import PointInput, assign_pixels, points_of
from diffseg.segmenters.base import Scene
from diffseg.segmenters.refinement import Refinable

PUBLISHED_TAU = 0.6  # INSID3's, for DINOv3
Similarity = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


@dataclass(frozen=True)
class Agglomerative(Refinable):
    """Joins the two most similar clusters while their mean cosine similarity is above tau.

    Attributes:
        tau: None: the value tuned for the backbone, or `PUBLISHED_TAU` if none was tuned.
    """

    tuned_key: ClassVar[str | None] = "agglomerative"

    tau: Annotated[
        Similarity | None,
        Field(description="clusters whose mean similarity is above tau are joined; null: the backbone's tuned value"),
    ] = None
    input: PointInput = "features"

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        return self if self.tau is not None else replace(self, tau=tuned.get("tau", PUBLISHED_TAU))

    def segment(self, scene: Scene) -> Tensor:
        assert self.tau is not None  # resolved
        points = points_of(scene, self.input)
        return assign_pixels(points, agglomerate(points, self.tau), scene)


def agglomerate(points: Tensor, tau: float) -> Tensor:
    """Clusters points by average linkage over cosine distances.

    Args:
        points: ``(n, C)`` unit vectors.
        tau: clusters whose mean similarity is above tau are joined.

    Returns:
        ``(n,)`` int64 in 0..K-1 on the points' device, every number used.
    """
    if len(points) == 1:
        return torch.zeros(1, dtype=torch.int64, device=points.device)
    distances = (1 - (points @ points.T).clamp(-1, 1)).cpu().numpy()
    clustering = AgglomerativeClustering(None, metric="precomputed", linkage="average", distance_threshold=1 - tau)
    return torch.from_numpy(clustering.fit(distances).labels_).to(points.device, torch.int64)
