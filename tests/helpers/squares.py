"""The centred square of a picture, as rows in the frame ``square`` see it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.base import Picture
from diffseg.backbones.image import nearest
from eval.config import Scoring
from eval.truth import class_map, enter


def resize_label(label: NDArray[np.integer], size: int) -> Tensor:
    return torch.as_tensor(nearest(label, (size, size))).to(torch.int16)


def square_image(picture: Picture, size: int) -> Tensor:
    return enter(picture, "square", size)


def square_label(picture: Picture, size: int) -> Tensor:
    return torch.from_numpy(class_map(picture, Scoring("square", size)).astype(np.int16))
