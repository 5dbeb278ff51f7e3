"""Refinement: a setting of most segmenters, applied to their label maps before scoring.

PAMR (Araslanov and Roth, CVPR 2020, arXiv 2005.08104) moves the borders of segments to those of the
colours. DiffCut's published numbers include it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from diffseg.masks import upsample_nearest
from diffseg.segmenters.base import CheckedSegmenter, Scene, picture_of

Refine = Literal["none", "pamr"]
"""``none``: no refinement; ``pamr``: see `pamr`."""

# DiffCut's settings (eval_diffcut.py): labels and picture at 128 x 128, and a median of the labels at the end.
PAMR_SIDE = 128
PAMR_ITERATIONS = 10
PAMR_DILATIONS = (1, 2, 4, 8)
MEDIAN_SIDE = 3

# From PAMR's code: a difference of colours is divided by TINY + DEVIATION_WEIGHT times the local standard deviation.
DEVIATION_WEIGHT = 0.1
TINY = 1e-8

NEIGHBOURS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))


@dataclass(frozen=True, kw_only=True)
class Refinable(CheckedSegmenter):
    """A segmenter whose label map can be refined. A subclass has the method `segment`."""

    refine: Annotated[
        Refine, Field(description="pamr: moves segment borders to colour edges, at 128 x 128 pixels, as DiffCut does")
    ] = "none"

    def __call__(self, scene: Scene) -> Tensor:
        """See `diffseg.segmenters.base.Segmenter`."""
        return refined(self.refine, self.segment, scene)

    def segment(self, scene: Scene) -> Tensor:
        """Labels of the scene's size without refinement, int64."""
        raise NotImplementedError


@torch.no_grad()
def refined(refine: str, segment: Callable[[Scene], Tensor], scene: Scene) -> Tensor:
    """Segments a picture, and refines the label map.

    Args:
        refine: ``pamr``: segments at `PAMR_SIDE` pixels, refines there, and repeats pixels up to the scene's size;
            anything else: no refinement.
        segment: turns a scene into labels of the scene's size.
        scene: the picture.

    Returns:
        (height, width) int64 >= 0 of the scene's size.

    Raises:
        ValueError: ``pamr``, and the scene has no picture.
    """
    if refine != "pamr":
        return segment(scene)
    image = picture_of(scene)
    labels = segment(replace(scene, size=(PAMR_SIDE, PAMR_SIDE)))
    pixels = torch.from_numpy(image).to(labels.device).permute(2, 0, 1)
    small = F.interpolate(pixels[None], (PAMR_SIDE, PAMR_SIDE), mode="bilinear", align_corners=False)[0]
    return upsample_nearest(median_of(pamr(labels, small)), scene.size)


def pamr(
    labels: Tensor,
    image: Tensor,
    iterations: int = PAMR_ITERATIONS,
    dilations: tuple[int, ...] = PAMR_DILATIONS,
) -> Tensor:
    """Pixel-adaptive mask refinement: in each iteration, a pixel takes the weighted mean of the masks around it.

    Neighbours of a similar colour weigh more. Differences of colour are divided by the standard deviation of the
    colours nearby. Outside the picture, its border pixels repeat.

    Args:
        labels: ``(h, w)`` int64 >= 0.
        image: ``(3, h, w)`` floating point RGB; its scale does not matter.
        iterations: number of means taken, >= 0.
        dilations: distances of the eight neighbours, in pixels.

    Returns:
        ``(h, w)`` int64, numbers of ``labels``; of equally strong ones, the smallest wins.
    """
    numbers, masks = labels.unique(return_inverse=True)
    weights = _weights(image, dilations)
    strengths = F.one_hot(masks, len(numbers)).permute(2, 0, 1).to(image.dtype)
    for _ in range(iterations):
        around = (each for offset, each in _shifted(strengths, dilations) if offset != (0, 0))
        refined = torch.zeros_like(strengths)
        for weight, neighbour in zip(weights, around, strict=True):
            refined.addcmul_(weight, neighbour)
        strengths = refined
    return numbers[strengths.argmax(dim=0)]


def _weights(image: Tensor, dilations: tuple[int, ...]) -> Tensor:
    """Weight of each neighbour of each pixel, ``(8 * dilations, h, w)``; they sum to 1."""
    shifted = list(_shifted(image, dilations))
    # The pixel itself counts once for each dilation, as in the authors' code.
    deviation = torch.stack([each for _, each in shifted]).std(dim=0)
    distances = [(each - image).abs() for offset, each in shifted if offset != (0, 0)]
    likeness = -torch.stack(distances) / (TINY + DEVIATION_WEIGHT * deviation)
    return likeness.mean(dim=1).softmax(dim=0)


def _shifted(maps: Tensor, dilations: tuple[int, ...]) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Yields (offset, shifted ``maps`` ``(C, h, w)``) for each dilation and each of the nine `NEIGHBOURS`."""
    height, width = maps.shape[-2:]
    reach = max(dilations)
    padded = F.pad(maps[None], (reach,) * 4, mode="replicate")[0]
    for dilation in dilations:
        for row, column in NEIGHBOURS:
            top, left = reach + row * dilation, reach + column * dilation
            yield (row, column), padded[:, top : top + height, left : left + width]


def median_of(labels: Tensor) -> Tensor:
    """Median filter of label numbers over `MEDIAN_SIDE` x `MEDIAN_SIDE` pixels, ``(h, w)`` int64.

    It removes specks, as DiffCut's code does. If a window holds more than two segments, the result
    depends on their numbers.
    """
    padded = F.pad(labels[None, None].float(), (MEDIAN_SIDE // 2,) * 4, mode="replicate")
    windows = F.unfold(padded, MEDIAN_SIDE)[0]
    return windows.median(dim=0).values.long().view_as(labels)
