"""The ceiling: the ground truth itself, as coarse as the attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffseg.masks import grid_side, upsample_nearest
from diffseg.segmenters.base import CheckedSegmenter, Scene


@dataclass(frozen=True)
class Oracle(CheckedSegmenter):
    """Gives each cell of the S x S grid the class of most of its labelled pixels, read from the ground truth.

    No segmentation that is constant on the cells has a higher accuracy (ACC). A few may have a slightly higher mIoU,
    and ``soft`` upsampling, which draws borders inside cells, may exceed both.
    """

    common_labels = True
    needs_truth = True

    def finish(self, prepared: None, scene: Scene) -> Tensor:
        """Labels of the scene's size, int64, the numbers of the classes; cells without a labelled pixel get 0.

        Raises ValueError if the scene has no ground truth.
        """
        if scene.truth is None:
            raise ValueError("truth: the scene has no ground truth, which the oracle needs")
        truth = scene.truth.long()
        side, labelled = grid_side(scene.aggregated), truth >= 0
        classes = int(truth.max()) + 1
        # The cells are upsampled like the labels below, so each pixel votes for the cell from which it gets its label.
        cells = upsample_nearest(torch.arange(side * side, device=truth.device).view(side, side), scene.size)
        votes = (cells * classes + truth)[labelled].bincount(minlength=side * side * classes)
        majority = votes.view(side * side, classes).argmax(dim=1)
        return majority[cells]
