"""K-means of colour and place, without a network: a floor for the segmenters that read attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.cluster import KMeans

from diffseg.limits import NotNegative
from diffseg.segmenters.base import Clusters, RandomSeed, Scene
from diffseg.segmenters.pixels import PixelSegmenter, picture_of


@dataclass(frozen=True)
class KMeansRGBXY(PixelSegmenter):
    """K-means (scikit-learn's) of each pixel's colour and place, at the size of the scene's picture.

    There is a single start: the best of three was no better on the photographs, and took twice the time.
    """

    needs_attention = False
    open = ("clusters",)

    clusters: Clusters = 6
    position: Annotated[
        NotNegative,
        Field(description="weight of the place (0..1 across the picture) against the colour (0..1 a channel)"),
    ] = 0.25  # the best above 0 on the photographs
    seed: RandomSeed = 0

    def prepare(self, scene: Scene) -> NDArray[Any]:
        image = picture_of(scene)
        side = len(image)
        line = self.position * (np.arange(side, dtype=np.float32) + 0.5) / side
        places = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)
        # In float64: scikit-learn 1.9 adds up distances in the precision of the points, and float32 sums of this many
        # would draw other starts than earlier versions do (findings/sklearn-kmeans-float32.sh).
        points = np.concatenate([image, places], axis=-1).reshape(side * side, -1).astype(np.float64)
        labels: NDArray[Any] = KMeans(self.clusters, n_init=1, random_state=self.seed).fit_predict(points)
        return labels.reshape(side, side)
