"""SLIC superpixels of the picture, without a network: a baseline for the segmenters that read attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field
from torch import Tensor

from diffseg.limits import Positive
from diffseg.segmenters.base import Clusters, Scene, fill_in, picture_of, to_scored_size
from diffseg.segmenters.refinement import Refinable


@dataclass(frozen=True)
class SLIC(Refinable):
    """SLIC superpixels (Achanta et al., PAMI 2012) of the scene's picture, with scikit-image, an optional package.

    The defaults were tuned on the eight photographs.

    Attributes:
        clusters: number of superpixels at the start; small ones are merged.
    """

    needs_attention: ClassVar[bool] = False

    clusters: Clusters = 9
    compactness: Annotated[Positive, Field(description="weight of the position against the colour in CIELAB")] = 1.0

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        """Fills in ``clusters``. Raises ValueError if scikit-image is missing, so that a run fails before it starts."""
        _ = _slic()
        return fill_in(self, tuned)

    def segment(self, scene: Scene) -> Tensor:
        image = picture_of(scene)
        return to_scored_size(_slic()(image, self.clusters, self.compactness, start_label=0), scene)


def _slic() -> Any:
    try:
        from skimage.segmentation import slic
    except ImportError:
        raise ValueError("slic: scikit-image is not installed: pip install scikit-image") from None
    return slic
