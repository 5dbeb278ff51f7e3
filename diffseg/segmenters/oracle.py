"""The ceiling: the ground truth itself, as coarse as the attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from diffseg.masks import grid_side, upsample_nearest
from diffseg.segmenters.base import Scene


@dataclass(frozen=True)
class Oracle:
    """Cheats: each cell of the S x S grid takes the class that most of its labelled pixels have.

    No segmentation that is constant on the cells is more accurate (ACC). Its mIoU is not quite the greatest possible,
    and a `soft` upsampling, which draws borders inside cells, may pass either.
    """

    common_labels: ClassVar[bool] = True

    needs_truth: ClassVar[bool] = True

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        return self

    def __call__(self, scene: Scene) -> Tensor:
        """Labels ``(P, P)``, the numbers of the classes; a cell without a labelled pixel is 0."""
        if scene.truth is None:
            raise ValueError("truth: there is none, and the oracle knows nothing else")
        truth = scene.truth.long()
        side, labelled = grid_side(scene.aggregated), truth >= 0
        classes = int(truth.max()) + 1
        # The very cells that are painted below, so that each pixel counts for the cell that gives it its label.
        cells = upsample_nearest(torch.arange(side * side, device=truth.device).view(side, side), scene.size)
        votes = (cells * classes + truth)[labelled].bincount(minlength=side * side * classes)
        majority = votes.view(side * side, classes).argmax(dim=1)
        return majority[cells]
