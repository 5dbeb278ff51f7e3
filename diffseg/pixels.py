"""Segmenters of the pixels alone, without any network: the floor under all that read attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

from diffseg.masks import upsample_nearest
from diffseg.segmenters import Scene, fill_in

CHANNEL_MAX = 255  # of a pixel's values


def _square(scene: Scene) -> NDArray[np.float32]:
    """The picture, ``(side, side, 3)`` in [0, 1]. Raises ValueError where the scene has none."""
    if scene.image is None:
        raise ValueError("image: there is none, and nothing else is segmented")
    return scene.image.permute(1, 2, 0).float().div(CHANNEL_MAX).cpu().numpy()


def _labels(labels: NDArray[np.integer[Any]], scene: Scene) -> Tensor:
    return upsample_nearest(torch.from_numpy(labels.astype(np.int64)).to(scene.aggregated.device), scene.size)


@dataclass(frozen=True)
class SLIC:
    """SLIC superpixels of scikit-image (Achanta et al., 2012), which the library itself does not need.

    Attributes:
        clusters: superpixels to start from, >= 1, of which many are merged for their size; None is the data set's own
            mean number of classes in a picture.
        compactness: weight of the position against the colour in CIELAB, > 0.
    """

    clusters: int | None = 9
    compactness: float = 1.0

    def __post_init__(self) -> None:
        if self.clusters is not None and self.clusters < 1:
            raise ValueError(f"clusters: must be at least 1, got {self.clusters}")
        if not self.compactness > 0:
            raise ValueError(f"compactness: must be above 0, got {self.compactness}")

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        """Raises ValueError where scikit-image is not installed, before a run starts."""
        _ = _slic()
        return fill_in(self, tuned)

    def __call__(self, scene: Scene) -> Tensor:
        image = _square(scene)
        return _labels(_slic()(image, self.clusters, self.compactness, start_label=0), scene)


def _slic() -> Any:
    try:
        from skimage.segmentation import slic
    except ImportError:
        raise ValueError("slic: scikit-image is not installed: pip install scikit-image") from None
    return slic


@dataclass(frozen=True)
class KMeansRGBXY:
    """K-means of each pixel's colour and place.

    Attributes:
        clusters: k >= 1; None is the data set's own mean number of classes in a picture.
        position: weight of the place (0..1 across the picture) against the colour (0..1 a channel), >= 0.
        seed: of the random start; the best of three was no better on the photographs, and took twice the time.
    """

    clusters: int | None = 6
    position: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clusters is not None and self.clusters < 1:
            raise ValueError(f"clusters: must be at least 1, got {self.clusters}")
        if not self.position >= 0:
            raise ValueError(f"position: must be at least 0, got {self.position}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed: must be 0..2^32-1, got {self.seed}")

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        return fill_in(self, tuned)

    def __call__(self, scene: Scene) -> Tensor:
        image = _square(scene)
        side = len(image)
        line = self.position * (np.arange(side, dtype=np.float32) + 0.5) / side
        places = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)
        points = np.concatenate([image, places], axis=-1).reshape(side * side, -1)
        labels = KMeans(self.clusters, n_init=1, random_state=self.seed).fit_predict(points)
        return _labels(labels.reshape(side, side), scene)
