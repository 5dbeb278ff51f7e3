"""The ground truth of object-centric scores as label maps, under the conventions of two public codes.

`eval.instances` computes the scores. ``oclf`` and ``spot`` name the two codes. They differ in three places:

- Crowds: ``oclf`` takes them out, so that their pixels are background. In ``spot`` they are objects like others.
- Ignored pixels: in ``oclf`` those under two or more instances, and void ones (VOC's 255); for mBO-c only the void
  ones, and of several classes the largest number takes the pixel. In ``spot`` those under two or more instances, even
  of one class, for all scores; void pixels are background.
- The frame: both resize the shorter side to 320 pixels and take the centre square, but by other rules of the nearest
  pixel, torch's ``nearest-exact`` and Pillow's ``NEAREST``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import measure

from datasets.base import Instances

Convention = Literal["oclf", "spot"]
IndexArray = NDArray[np.int64]

IGNORED = -1
"""Value of a pixel that is not scored."""

BACKGROUND = 0
"""Value of a pixel in no object."""

SIDE = 320
"""Side of the ground truth's square in pixels."""


class TruthMaps(NamedTuple):
    """Two maps of one picture, ``(h, w)`` int32 each, with `BACKGROUND` and `IGNORED`.

    Attributes:
        instances: number of each pixel's object, from 1 in the order of the annotations (crowds of ``oclf`` not
            counted). An object without a pixel of its own keeps its number.
        classes: the data set's number of each pixel's class, from 1.
    """

    instances: NDArray[np.int32]
    classes: NDArray[np.int32]


def instance_truth(instances: Instances, convention: Convention) -> TruthMaps:
    """Makes the maps that are compared with a segmentation.

    Args:
        instances: the objects of a picture.
        convention: ``oclf`` or ``spot``.

    Raises:
        ValueError: the convention is unknown.
    """
    _check(convention)
    kept = ~instances.crowd if convention == "oclf" else np.ones_like(instances.crowd)
    masks, numbers = instances.masks[kept], instances.classes[kept]
    shared = masks.sum(axis=0) > 1
    objects, classes = (np.full(instances.void.shape, BACKGROUND, np.int32) for _ in range(2))
    for place in np.argsort(numbers, kind="stable"):  # the largest class number is painted last, and stays
        objects[masks[place]], classes[masks[place]] = place + 1, numbers[place]
    objects[shared] = IGNORED
    if convention == "spot":
        classes[shared] = IGNORED
    else:
        objects[instances.void] = classes[instances.void] = IGNORED
    return TruthMaps(objects, classes)


def in_frame(instances: Instances, convention: Convention, side: int = SIDE) -> Instances:
    """The objects in the frame of the ground truth, masks ``(n, side, side)``. Arguments and errors: `frame_pixels`."""
    height, width = instances.void.shape
    rows, columns = frame_pixels(height, width, convention, side)
    return Instances(
        masks=instances.masks[:, rows[:, None], columns],
        classes=instances.classes,
        crowd=instances.crowd,
        void=instances.void[rows[:, None], columns],
    )


def frame_pixels(height: int, width: int, convention: Convention, side: int = SIDE) -> tuple[IndexArray, IndexArray]:
    """Rows and columns of a picture that the ground truth's square takes: ``(side,)`` int64 each.

    Args:
        height, width: size of the picture in pixels.
        convention: ``oclf`` or ``spot``.
        side: side of the square in pixels.

    Raises:
        ValueError: the convention is unknown.
    """
    _check(convention)
    short = min(height, width)
    nearest = _nearest_exact if convention == "oclf" else _nearest_of_pillow
    rows, columns = (_centre(nearest(length, side * length // short), side) for length in (height, width))
    return rows, columns


def components(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Splits the segments of a label map into connected components of 4 neighbours.

    Args:
        labels: segment of each pixel, ``(h, w)`` integers >= 0. Negative ones, pixels in no segment, become -1.

    Returns:
        ``(h, w)`` int32, numbered from 0 in the order of their first pixels, row by row.
    """
    return measure.label(np.where(labels < 0, -1, labels), background=-1, connectivity=1).astype(np.int32) - 1


def _nearest_exact(length: int, resized: int) -> IndexArray:
    source = torch.arange(length, dtype=torch.float32)[None, None]
    return torch.nn.functional.interpolate(source, size=resized, mode="nearest-exact")[0, 0].long().numpy()


def _nearest_of_pillow(length: int, resized: int) -> IndexArray:
    source = Image.fromarray(np.arange(length, dtype=np.int32)[None])
    return np.array(source.resize((resized, 1), Image.Resampling.NEAREST))[0].astype(np.int64)


def _centre(indices: IndexArray, side: int) -> IndexArray:
    start = round((len(indices) - side) / 2)  # Python rounds halves to even, as torchvision's CenterCrop does
    return indices[start : start + side]


def _check(convention: str) -> None:
    if convention not in ("oclf", "spot"):
        raise ValueError(f"convention: must be oclf or spot, got {convention!r}")
