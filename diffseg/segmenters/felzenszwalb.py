"""Felzenszwalb and Huttenlocher's segmentation by a graph of pixels, without a network: a floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from numpy.typing import NDArray
from pydantic import Field

from diffseg.segmenters.base import Scene
from diffseg.segmenters.pixels import SCIKIT_IMAGE, PixelSegmenter, own_picture


@dataclass(frozen=True)
class Felzenszwalb(PixelSegmenter):
    """Graph-based segmentation (Felzenszwalb and Huttenlocher, IJCV 2004), with scikit-image, an optional package.

    It cuts up the picture at its own size, as in the paper, whose k is the ``scale``. Its default was tuned on CamVid.
    """

    needs_attention = False
    packages = (SCIKIT_IMAGE,)

    scale: Annotated[float, Field(gt=0, description="preference for larger segments")] = 243.0
    sigma: Annotated[float, Field(ge=0, description="standard deviation of the blur in pixels")] = 0.8
    min_size: Annotated[int, Field(ge=1, description="pixels of the smallest segment")] = 50

    def prepare(self, scene: Scene) -> NDArray[Any]:
        from skimage.segmentation import felzenszwalb

        labels: NDArray[Any] = felzenszwalb(own_picture(scene), self.scale, self.sigma, self.min_size)
        return labels
