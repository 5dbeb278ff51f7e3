"""Agglomerative clustering of features or attention, average linkage, with scikit-learn.

It is the first stage of INSID3 (arXiv 2603.28480), which finds the fine segments of a picture from DINOv3's features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from sklearn.cluster import AgglomerativeClustering
from torch import Tensor

from diffseg.segmenters.base import Refinable, Scene
from diffseg.segmenters.graphs import PointInput, assign_pixels, points_of

PUBLISHED_TAU = 0.6  # INSID3's, for DINOv3
Similarity = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


@dataclass(frozen=True)
class Agglomerative(Refinable):
    """Joins the two most similar clusters while their mean cosine similarity is above tau."""

    tuned_key: ClassVar[str | None] = "agglomerative"
    open = ("tau",)
    published_tau = PUBLISHED_TAU

    tau: Annotated[
        Similarity | None,
        Field(description="clusters whose mean similarity is above tau are joined; null: the backbone's tuned value"),
    ] = None
    input: PointInput = "features"

    def prepare(self, scene: Scene) -> tuple[Tensor, Tensor]:
        assert self.tau is not None  # resolved
        points = points_of(scene, self.input)
        return points, agglomerate(points, self.tau)

    def finish(self, prepared: tuple[Tensor, Tensor], scene: Scene) -> Tensor:
        return assign_pixels(*prepared, scene)


def agglomerate(points: Tensor, tau: float) -> Tensor:
    """Clusters ``(n, C)`` unit vectors by average linkage over cosine distances: ``(n,)`` int64 in 0..K-1."""
    if len(points) == 1:
        return torch.zeros(1, dtype=torch.int64, device=points.device)
    distances = (1 - (points @ points.T).clamp(-1, 1)).cpu().numpy()
    clustering = AgglomerativeClustering(None, metric="precomputed", linkage="average", distance_threshold=1 - tau)
    return torch.from_numpy(clustering.fit(distances).labels_).to(points.device, torch.int64)
