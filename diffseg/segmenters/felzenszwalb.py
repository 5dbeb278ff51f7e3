"""Felzenszwalb and Huttenlocher's segmentation by a graph of pixels, without a network: a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field
from torch import Tensor

from diffseg.segmenters.base import Scene, own_picture, to_scored_size
from diffseg.segmenters.refinement import Refinable


@dataclass(frozen=True)
class Felzenszwalb(Refinable):
    """Graph-based segmentation (Felzenszwalb and Huttenlocher, IJCV 2004), with scikit-image, an optional package.

    It cuts up the picture at its own size, as in the paper.

    Attributes:
        scale: the threshold k of the paper: larger values prefer larger segments.
        sigma: standard deviation of the Gaussian blur before, in pixels.
        min_size: smaller segments are merged with a neighbour, in pixels.
    """

    needs_attention: ClassVar[bool] = False

    scale: Annotated[float, Field(gt=0, description="preference for larger segments")] = 300.0
    sigma: Annotated[float, Field(ge=0, description="standard deviation of the blur in pixels")] = 0.8
    min_size: Annotated[int, Field(ge=1, description="pixels of the smallest segment")] = 50

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        """Raises ValueError if scikit-image is missing, so that a run fails before it starts."""
        _ = _felzenszwalb()
        return self

    def segment(self, scene: Scene) -> Tensor:
        labels = _felzenszwalb()(own_picture(scene), self.scale, self.sigma, self.min_size)
        return to_scored_size(labels, scene)


def _felzenszwalb() -> Any:
    try:
        from skimage.segmentation import felzenszwalb
    except ImportError:
        raise ValueError("felzenszwalb: scikit-image is not installed: pip install scikit-image") from None
    return felzenszwalb
