"""From a sample of any size to the square that enters a backbone, and its labels."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from datasets.base import VOID, DatasetError, Sample

Scalar = TypeVar("Scalar", bound=np.generic)


def centre_crop(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """The centred square of side ``min(h, w)`` of ``(h, w, ...)``, a view from ``(dim - side) // 2`` on."""
    height, width = array.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return array[top : top + side, left : left + side]


def resize_image(image: NDArray[np.uint8], size: int) -> Tensor:
    """Resizes ``(h, w, 3)`` to ``(3, size, size)`` float32 in [0, 255].

    Bilinear at half-pixel centres, without antialiasing.
    """
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = F.interpolate(pixels, (size, size), mode="bilinear", align_corners=False, antialias=False)[0]
    return resized.clamp_(0, np.iinfo(np.uint8).max)  # rounded weights can sum to 1 + 1e-7


def resize_label(label: NDArray[np.int16], size: int) -> Tensor:
    """Resizes ``(h, w)`` to ``(size, size)`` int16: nearest at half-pixel centres ("nearest-exact").

    Plain "nearest" reads up to a pixel off the image, which is sampled at half-pixel centres.
    """
    # interpolate() knows no int16; float32 holds every int16 exactly.
    values = torch.from_numpy(label)[None, None].float()
    return F.interpolate(values, (size, size), mode="nearest-exact")[0, 0].to(torch.int16)


def classes_in_square(sample: Sample) -> int:
    """Number of classes in the centred square, before any resizing: what K-Means-S is told of a picture."""
    label = centre_crop(sample.label)
    return len(np.unique(label[label != VOID]))


def square(sample: Sample, size: int, label_size: int | None = None) -> tuple[Tensor, Tensor]:
    """Cuts the centred square from image and label alike and resizes each.

    Args:
        sample: picture and labels of any size.
        size: side P in pixels of the image that enters the backbone.
        label_size: side in pixels at which labels are scored. None: ``size``.

    Returns:
        The image ``(3, P, P)`` float32 in [0, 255]; the label ``(P', P')`` int16, 0..n_classes-1 or `VOID`.

    Raises:
        DatasetError: the square has no labelled pixel.
    """
    return square_image(sample, size), square_label(sample, size if label_size is None else label_size)


def square_image(sample: Sample, size: int) -> Tensor:
    """The centred square of the image alone, ``(3, size, size)`` float32 in [0, 255]."""
    return resize_image(centre_crop(sample.image), size)


def square_label(sample: Sample, size: int) -> Tensor:
    """The centred square of the label alone, ``(size, size)`` int16; errors as `square`."""
    label = resize_label(centre_crop(sample.label), size)
    if not (label != VOID).any():
        raise DatasetError(
            f"{sample.id}: the centred square has no labelled pixel; leave it out with dataset.split_file"
        )
    return label
