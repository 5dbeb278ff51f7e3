"""SLIC superpixels of the picture, without a network: a floor for the segmenters that read attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from numpy.typing import NDArray
from pydantic import Field

from diffseg.limits import Positive
from diffseg.segmenters.base import Clusters, Scene
from diffseg.segmenters.pixels import SCIKIT_IMAGE, PixelSegmenter, picture_of


@dataclass(frozen=True)
class SLIC(PixelSegmenter):
    """SLIC superpixels (Achanta et al., PAMI 2012) of the scene's picture, with scikit-image, an optional package.

    Small ones are merged. The number of clusters was tuned on CamVid, the compactness on the eight photographs.
    """

    needs_attention = False
    open = ("clusters",)
    packages = (SCIKIT_IMAGE,)

    clusters: Clusters = 73
    compactness: Annotated[Positive, Field(description="weight of the position against the colour in CIELAB")] = 1.0

    def prepare(self, scene: Scene) -> NDArray[Any]:
        from skimage.segmentation import slic

        labels: NDArray[Any] = slic(picture_of(scene), self.clusters, self.compactness, start_label=0)
        return labels
