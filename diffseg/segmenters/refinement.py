"""Refinement: a setting of most segmenters, applied to their label maps before scoring.

PAMR (Araslanov and Roth, CVPR 2020, arXiv 2005.08104) moves the borders of segments to those of the
colours. DiffCut's published numbers include it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from diffseg.masks import upsample_nearest
from diffseg.segmenters.base import Scene
from diffseg.segmenters.pixels import picture_of

# DiffCut's settings (eval_diffcut.py): labels and picture at 128 x 128, and a median of the labels at the end.
PAMR_SIDE = 128
PAMR_ITERATIONS = 10
PAMR_DILATIONS = (1, 2, 4, 8)
MEDIAN_SIDE = 3

# From PAMR's code: a difference of colours is divided by TINY + DEVIATION_WEIGHT times the local standard deviation.
DEVIATION_WEIGHT = 0.1
TINY = 1e-8

NEIGHBOURS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))


def refined(segment: Callable[[Scene], Tensor], scene: Scene) -> Tensor:
    """Segments a picture at `PAMR_SIDE` pixels, refines that, and repeats pixels up to the scene's size.

    ``segment`` turns a scene into labels of the scene's size. Raises ValueError if the scene has no picture.
    """
    image = picture_of(scene)
    labels = segment(replace(scene, size=(PAMR_SIDE, PAMR_SIDE)))
    pixels = torch.from_numpy(image).to(labels.device).permute(2, 0, 1)
    small = F.interpolate(pixels[None], (PAMR_SIDE, PAMR_SIDE), mode="bilinear", align_corners=False)[0]
    return upsample_nearest(median_of(pamr(labels, small)), scene.size)


def pamr(
    labels: Tensor, image: Tensor, iterations: int = PAMR_ITERATIONS, dilations: Sequence[int] = PAMR_DILATIONS
) -> Tensor:
    """Pixel-adaptive mask refinement: in each iteration, a pixel takes the weighted mean of the masks around it.

    Neighbours of a similar colour weigh more. Differences of colour are divided by the standard deviation of the
    colours nearby. Outside the picture, its border pixels repeat.

    Takes ``(h, w)`` int64 labels >= 0, a floating point RGB image ``(3, h, w)`` of any scale, and the distances of the
    eight neighbours in pixels. Returns ``(h, w)`` int64, numbers of ``labels``; of equally strong ones, the smallest
    wins.
    """
    # The pixel itself counts once for each dilation in the deviation, as in the authors' code, and has no weight.
    shifted = _shifted(image, dilations)
    deviation = torch.stack(shifted).std(dim=0)
    around = [index for index in range(len(shifted)) if NEIGHBOURS[index % len(NEIGHBOURS)] != (0, 0)]
    distances = torch.stack([(shifted[index] - image).abs() for index in around])
    weights = (-distances / (TINY + DEVIATION_WEIGHT * deviation)).mean(dim=1).softmax(dim=0)

    numbers, masks = labels.unique(return_inverse=True)
    strengths = F.one_hot(masks, len(numbers)).permute(2, 0, 1).to(image.dtype)
    for _ in range(iterations):
        shifted, strengths = _shifted(strengths, dilations), torch.zeros_like(strengths)
        for index, weight in zip(around, weights, strict=True):
            strengths.addcmul_(weight, shifted[index])
    return numbers[strengths.argmax(dim=0)]


def _shifted(maps: Tensor, dilations: Sequence[int]) -> list[Tensor]:
    """``(C, h, w)`` maps, shifted by each dilation to each of the `NEIGHBOURS`."""
    height, width = maps.shape[-2:]
    reach = max(dilations)
    padded = F.pad(maps[None], (reach,) * 4, mode="replicate")[0]
    corners = [(reach + row * step, reach + column * step) for step in dilations for row, column in NEIGHBOURS]
    return [padded[:, top : top + height, left : left + width] for top, left in corners]


def median_of(labels: Tensor) -> Tensor:
    """Median filter of label numbers over `MEDIAN_SIDE` x `MEDIAN_SIDE` pixels, ``(h, w)`` int64.

    It removes specks, as DiffCut's code does. If a window holds more than two segments, the result
    depends on their numbers.
    """
    padded = F.pad(labels[None, None].float(), (MEDIAN_SIDE // 2,) * 4, mode="replicate")
    windows = F.unfold(padded, MEDIAN_SIDE)[0]
    return windows.median(dim=0).values.long().view_as(labels)
