"""Watershed of the boundaries in the attention: ABDiv of TRACE (Jo et al., ICLR 2026, arXiv 2503.07982).

The paper takes the attention at the diffusion step at which it changes most, finds boundaries in it, and trains a
network on them; only the formula of the boundaries is here. It was read in a third party's note that prints it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from diffseg.divergence import FLOOR
from diffseg.masks import grid_side
from diffseg.segmenters.base import Scene
from diffseg.segmenters.pixels import SCIKIT_IMAGE, PixelSegmenter

SIDE = 128  # pixels of the boundary map, as PAMR's


@dataclass(frozen=True)
class Watershed(PixelSegmenter):
    """Floods the boundary map from its basins, with scikit-image, an optional package.

    Boundaries of TRACE's formula are interpolated to `SIDE` pixels. A basin starts a segment if it is deeper than
    ``depth``; shallower ones join their neighbour. The depth was tuned on CamVid with DINOv2 ViT-S/14.
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


@torch.no_grad()
def boundary_divergence(aggregated: Tensor) -> Tensor:
    """Difference between the attention on opposite sides of each location: large where a boundary passes.

    The sum of the symmetric divergences (`diffseg.symmetric_kl`) of the maps above and below, and of the maps to the
    left and to the right. TRACE takes the divergence in one direction, so that its boundaries change if the picture is
    turned round. At the border of the picture the location itself stands for the missing neighbour.

    Takes ``(S*S, S*S)`` floating point, rows sum to 1. Returns ``(S, S)`` nats, >= 0, of the same dtype and device.

    >>> left, right = [0.5, 0.0, 0.5, 0.0], [0.1, 0.4, 0.1, 0.4]  # each place of a 2 x 2 picture attends to its column
    >>> boundary_divergence(torch.tensor([left, right, left, right])).count_nonzero().item()
    4
    """
    side = grid_side(aggregated)
    maps = aggregated.view(side, side, -1)
    logarithms = maps.clamp(min=FLOOR).log_()
    before = torch.arange(-1, side - 1, device=maps.device).clamp(min=0)
    after = torch.arange(1, side + 1, device=maps.device).clamp(max=side - 1)
    total = maps.new_zeros(side, side)
    for axis in (0, 1):
        p, q = (maps.index_select(axis, line) for line in (before, after))
        log_p, log_q = (logarithms.index_select(axis, line) for line in (before, after))
        total += ((p - q) * (log_p - log_q)).sum(dim=2) / 2
    return total
