"""Cuts and resizes the centred square of a picture and of its ground truth."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.base import VOID, DatasetError, Picture
from diffseg.backbones.image import centre_crop, resize_image, resize_labels


def resize_label(label: NDArray[np.int16], size: int) -> Tensor:
    """Resizes ``(h, w)`` to ``(size, size)`` int16, see `diffseg.backbones.image.resize_labels`."""
    return resize_labels(label, (size, size)).to(torch.int16)


def square_image(picture: Picture, size: int) -> Tensor:
    """Centred square of the picture as input of a backbone, ``(3, size, size)`` float32 in [0, 255]."""
    return resize_image(centre_crop(picture.image), size)


def square_label(picture: Picture, size: int) -> Tensor:
    """Labels of the centred square, ``(size, size)`` int16, 0..n_classes-1 or `VOID`.

    Raises:
        DatasetError: the square has no labelled pixel.
    """
    label = resize_label(centre_crop(picture.label), size)
    if not (label != VOID).any():
        raise DatasetError(
            f"{picture.id}: the centred square has no labelled pixel; leave it out with dataset.split_file"
        )
    return label


def classes_in_square(picture: Picture) -> int:
    """Number of classes in the centred square before resizing. K-Means-S gets this number for each picture."""
    label = centre_crop(picture.label)
    return len(np.unique(label[label != VOID]))
