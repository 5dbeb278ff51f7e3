"""Turns a picture, and its label map, into the square that enters a backbone.

The benchmark, the command line and the local page all use these functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from diffseg.pictures import CHANNEL_MAX

if TYPE_CHECKING:
    from torch import Tensor

Scalar = TypeVar("Scalar", bound=np.generic)


def centre_crop(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """Centred square of a picture or label map ``(h, w, ...)``, as a view; an odd pixel is cut at the end."""
    height, width = array.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return array[top : top + side, left : left + side]


def resize_image(image: NDArray[np.uint8], size: int) -> Tensor:
    """Resizes ``(h, w, 3)`` uint8 RGB to the square that a backbone takes: ``(3, P, P)`` float32 in [0, 255], CPU.

    Bilinear at half-pixel centres, without antialiasing. ``size`` is the side P in pixels; other shapes are squeezed.
    """
    # torch takes seconds to import. The command line reports bad arguments before that.
    import torch
    import torch.nn.functional as F

    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = F.interpolate(pixels, (size, size), mode="bilinear", align_corners=False, antialias=False)[0]
    return resized.clamp_(0, CHANNEL_MAX)  # rounded weights can sum to 1 + 1e-7


def nearest(labels: NDArray[Scalar], size: tuple[int, int]) -> NDArray[Scalar]:
    """Resizes a label map ``(h, w)`` to (height, width). Each pixel takes the nearest label; labels are never mixed.

    Samples at half-pixel centres, as `resize_image` does: row i of H takes row floor((2i + 1) h / 2H) of h, computed in
    whole numbers. A centre on the border of two rows takes the second one. Pillow and OpenCV differ there.

    >>> nearest(np.array([[1, 2, 3, 4]]), (1, 2)).tolist()
    [[2, 4]]
    """
    rows, columns = (
        (2 * np.arange(target, dtype=np.int64) + 1) * length // (2 * target)
        for target, length in zip(size, labels.shape, strict=True)
    )
    return labels.take(rows, axis=0).take(columns, axis=1)


def check_range(images: Tensor) -> None:
    """Raises ValueError if pixels are NaN or outside [0, 255], or if all are in [0, 1] and some are fractions.

    A backbone would see a picture scaled to [0, 1] as black.
    """
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= CHANNEL_MAX):  # a NaN fails both comparisons
        raise ValueError(f"images: must be in [0, {CHANNEL_MAX}], got values from {low:g} to {high:g}")
    if high <= 1 and images.is_floating_point() and not bool((images == images.round()).all()):
        raise ValueError(f"images: must be in [0, {CHANNEL_MAX}], but all are in [0, 1]: multiply by {CHANNEL_MAX}")
