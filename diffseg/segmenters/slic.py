"""SLIC superpixels of the picture, without a network: a baseline for the segmenters that read attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor

from diffseg.segmenters.base import Scene, check_clusters, fill_in, picture_of, to_scored_size
from diffseg.segmenters.refinement import Refinable


@dataclass(frozen=True)
class SLIC(Refinable):
    """SLIC superpixels (Achanta et al., PAMI 2012) of the scene's picture, with scikit-image, an optional package.

    Attributes:
        clusters: number of superpixels at the start, >= 1; small ones are merged. None: the data set's mean number of
            classes in a picture.
        compactness: weight of the position against the colour in CIELAB, > 0.

    Raises:
        ValueError: ``clusters`` or ``compactness`` is out of range.
    """

    needs_attention: ClassVar[bool] = False

    clusters: int | None = 9
    compactness: float = 1.0

    def __post_init__(self) -> None:
        check_clusters(self.clusters)
        if not self.compactness > 0:
            raise ValueError(f"compactness: must be above 0, got {self.compactness}")

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
