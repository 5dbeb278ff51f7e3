"""Segmenters that label pixels, and the pictures that they read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffseg.masks import upsample_nearest
from diffseg.pictures import CHANNEL_MAX
from diffseg.segmenters.base import Refinable, Scene

SCIKIT_IMAGE = ("skimage", "scikit-image")


@dataclass(frozen=True, kw_only=True)
class PixelSegmenter(Refinable):
    """A segmenter whose `prepare` gives labels ``(h, w)`` of any size; each scored pixel takes the nearest."""

    def finish(self, prepared: NDArray[Any], scene: Scene) -> Tensor:
        labels = torch.from_numpy(prepared.astype(np.int64)).to(scene.aggregated.device)
        return upsample_nearest(labels, scene.size)


def picture_of(scene: Scene) -> NDArray[np.float32]:
    """The scene's picture, ``(side, side, 3)`` float32 in [0, 1]. Raises ValueError if the scene has no picture."""
    if scene.image is None:
        raise ValueError(
            "image: the scene has no picture, and this segmenter reads it; with saved attention, pass image="
        )
    return scene.image.permute(1, 2, 0).float().div(CHANNEL_MAX).cpu().numpy()


def own_picture(scene: Scene) -> NDArray[np.float32]:
    """The scene's picture at its own size, ``(h, w, 3)`` float32 in [0, 1]; else `picture_of`, with its errors."""
    if scene.picture is None:
        return picture_of(scene)
    return scene.picture.astype(np.float32) / np.float32(CHANNEL_MAX)
