"""Further classical clusterings of the aggregated attention, both scikit-learn's: spectral, and HDBSCAN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from sklearn.cluster import HDBSCAN as SklearnHDBSCAN
from sklearn.cluster import SpectralClustering
from sklearn.metrics import euclidean_distances
from torch import Tensor

from diffseg.baselines import Noise, Upsample, settle_noise, to_pixels
from diffseg.segmenters import Scene, fill_in


@dataclass(frozen=True)
class Spectral:
    """Spectral clustering (Ng, Jordan and Weiss, 2001) of the graph whose weights are the symmetrised attention.

    Attributes:
        clusters: k; None is the data set's own mean number of classes in a picture.
        seed: of the K-means in the space of the first k eigenvectors.
        upsample: as for `diffseg.baselines.kmeans`.
    """

    clusters: int | None = 6
    seed: int = 0
    upsample: Upsample = "soft"

    def __post_init__(self) -> None:
        if self.clusters is not None and self.clusters < 1:
            raise ValueError(f"clusters: must be at least 1, got {self.clusters}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed: must be 0..2^32-1, got {self.seed}")

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        if self.clusters is not None and self.clusters >= side * side:
            raise ValueError(f"clusters: must be 1..{side * side - 1}, below the attention maps, got {self.clusters}")
        return fill_in(self, tuned)

    def __call__(self, scene: Scene) -> Tensor:
        attention = scene.aggregated.float().cpu().numpy()
        clustering = SpectralClustering(self.clusters, affinity="precomputed", random_state=self.seed)
        labels = torch.from_numpy(clustering.fit((attention + attention.T) / 2).labels_)
        # K-means may leave a cluster empty; the others close ranks.
        labels = labels.to(scene.aggregated.device).unique(return_inverse=True)[1]
        return to_pixels(scene.aggregated, labels, scene.size, self.upsample)


@dataclass(frozen=True)
class HDBSCAN:
    """HDBSCAN (Campello et al., 2013), Euclidean, over the attention maps: DBSCAN without a radius to choose.

    Attributes:
        min_cluster_size: attention maps that make a cluster, >= 2.
        min_samples: neighbours, itself included, within a point's core distance, >= 1.
        noise, upsample: as for `diffseg.baselines.dbscan`.
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

    def __call__(self, scene: Scene) -> Tensor:
        points = scene.aggregated.float()
        # All distances at once, as one matrix product: scikit-learn's tree of points in thousands of dimensions finds
        # them one at a time.
        distances = euclidean_distances(points.cpu().numpy())
        clustering = SklearnHDBSCAN(self.min_cluster_size, self.min_samples, metric="precomputed", copy=False)
        labels = torch.from_numpy(clustering.fit(distances).labels_).to(points.device, torch.int64)
        return to_pixels(points, settle_noise(points, labels, self.noise), scene.size, self.upsample)
