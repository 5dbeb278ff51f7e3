"""Watershed of the boundaries in the attention (`diffseg.boundaries`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field

from diffseg.boundaries import boundary_divergence
from diffseg.segmenters.base import Scene
from diffseg.segmenters.pixels import SCIKIT_IMAGE, PixelSegmenter

SIDE = 128  # pixels of the boundary map, as PAMR's


@dataclass(frozen=True)
class Watershed(PixelSegmenter):
    """Floods the boundary map from its basins, with scikit-image, an optional package.

    Boundaries of TRACE's formula are interpolated to `SIDE` pixels. A basin starts a segment if it is deeper than
    ``depth``; shallower ones join their neighbour.

    Attributes:
        depth: in nats. The default was tuned on CamVid with DINOv2 ViT-S/14.
    """

    packages = (SCIKIT_IMAGE,)

    depth: Annotated[float, Field(gt=0, description="depth in nats of the basins that become segments")] = 0.0811

    def prepare(self, scene: Scene) -> NDArray[Any]:
        from skimage.measure import label
        from skimage.morphology import local_minima, reconstruction
        from skimage.segmentation import watershed

        edges = boundary_divergence(scene.aggregated.float())[None, None]
        fine = F.interpolate(edges, (SIDE, SIDE), mode="bilinear", align_corners=False)[0, 0].cpu().double().numpy()
        # Filling every basin by the depth removes the shallower ones.
        filled = reconstruction(fine + self.depth, fine, method="erosion")
        basins: NDArray[Any] = label(local_minima(filled))
        # A map without any basin is one segment.
        return watershed(fine, basins) - 1 if basins.any() else basins
