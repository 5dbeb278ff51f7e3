"""K-means of colour and place, without a network: a baseline for the segmenters that read attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.cluster import KMeans
from torch import Tensor

from diffseg.segmenters.base import Scene, check_clusters, check_seed, fill_in, picture_of, to_scored_size
from diffseg.segmenters.refinement import Refinable


@dataclass(frozen=True)
class KMeansRGBXY(Refinable):
    """K-means (scikit-learn's) of each pixel's colour and place, at the size of the scene's picture.

    Attributes:
        clusters: k >= 1; None: the data set's mean number of classes in a picture.
        position: weight of the place (0..1 across the picture) against the colour (0..1 a channel), >= 0.
        seed: seed of the single random start. The best of three starts was no better on the photographs, and took twice
            the time.

    Raises:
        ValueError: ``clusters``, ``position`` or ``seed`` is out of range.
    """

    needs_attention: ClassVar[bool] = False

    clusters: int | None = 6
    position: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        check_clusters(self.clusters)
        if not self.position >= 0:
            raise ValueError(f"position: must be at least 0, got {self.position}")
        check_seed(self.seed)

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        return fill_in(self, tuned)

    def segment(self, scene: Scene) -> Tensor:
        image = picture_of(scene)
        side = len(image)
        line = self.position * (np.arange(side, dtype=np.float32) + 0.5) / side
        places = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)
        points = np.concatenate([image, places], axis=-1).reshape(side * side, -1)
        labels = KMeans(self.clusters, n_init=1, random_state=self.seed).fit_predict(points)
        return to_scored_size(labels.reshape(side, side), scene)
