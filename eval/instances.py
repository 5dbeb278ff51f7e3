"""Object-centric scores: mBO-i, mBO-c, Hungarian mIoU, FG-ARI and CorLoc, and the ground truth that they need.

Two public codes define these scores: OCLF, the object-centric learning framework
(amazon-science/object-centric-learning-framework, commit 0a97292), and SPOT (gkakogeorgiou/spot, commit 13c5926). The
scores are the same in both. Their ground truths, ``oclf`` and ``spot``, differ in three places:

- Crowds: ``oclf`` takes them out, so that their pixels are background. In ``spot`` they are objects like others.
- Ignored pixels: in ``oclf`` those under two or more instances, and void ones (VOC's 255); for mBO-c only the void
  ones, and of several classes the largest number takes the pixel. In ``spot`` those under two or more instances, even
  of one class, for all scores; void pixels are background.
- The frame: both resize the shorter side to 320 pixels and take the centre square, but by other rules of the nearest
  pixel, torch's ``nearest-exact`` and Pillow's ``NEAREST``.

A table ``(1 + objects, segments)`` counts the pixels of each object in each segment. Row 0 is the background, pixels in
no object. Ignored pixels are not in the table. An object without a pixel has vanished: it is left out of all means.
Pixels in no segment, which neither code knows, are counted in ``missed`` ``(1 + objects,)``, row by row: they belong to
the object and to no segment; FG-ARI takes them as one more segment.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linear_sum_assignment

from datasets.base import Instances
from eval.matching import IntArray
from eval.regions import adjusted_rand_index

FloatArray = NDArray[np.float64]
Convention = Literal["oclf", "spot"]
IGNORED = -1
"""Value of a pixel that is not scored."""

BACKGROUND = 0
"""Value of a pixel in no object."""

SIDE = 320
"""Side of the ground truth's square in pixels."""

FOUND = 0.5
"""CorLoc: a picture counts if the IoU of an object and a segment is above this."""


class InstanceScores(NamedTuple):
    """Scores of one picture, as fractions; NaN: the picture has no object for this score, and its mean leaves it out.

    Attributes:
        mbo_i: mean best overlap, `best_overlaps`, over instances.
        mbo_c: the same over classes: all instances of a class are one object.
        instance_miou: mean of `hungarian_overlaps` over instances.
        fg_ari: `foreground_ari` of the instances. Never NaN: 1.0 without objects, as in both codes.
        corloc: 1.0 if the IoU of some instance and segment is above `FOUND`, else 0.0.
    """

    mbo_i: float
    mbo_c: float
    instance_miou: float
    fg_ari: float
    corloc: float


def instance_scores(
    instances: IntArray, classes: IntArray, missed: tuple[IntArray, IntArray] | None = None
) -> InstanceScores:
    """Computes the scores of one picture.

    Args:
        instances: table of the instances, ``(1 + instances, segments)`` int64, row 0 the background.
        classes: table of the classes, ``(1 + classes, segments)`` int64, row 0 the background.
        missed: pixels in no segment, of each row of the two tables; None: every pixel is in a segment.

    >>> table = np.array([[50, 0], [0, 8], [2, 0]])  # one object is found, the other lies in the background's segment
    >>> instance_scores(table, np.array([[50, 0], [2, 8]]))  # doctest: +ELLIPSIS
    InstanceScores(mbo_i=0.519..., mbo_c=0.8, instance_miou=0.519..., fg_ari=1.0, corloc=1.0)
    """
    of_instances, of_classes = missed or (None, None)
    best = best_overlaps(instances, of_instances)
    return InstanceScores(
        mbo_i=_mean(best),
        mbo_c=_mean(best_overlaps(classes, of_classes)),
        instance_miou=_mean(hungarian_overlaps(instances, of_instances)),
        fg_ari=foreground_ari(instances, of_instances),
        corloc=float(best.max() > FOUND) if best.size else float("nan"),
    )


def overlaps(table: IntArray, missed: IntArray | None = None) -> FloatArray:
    """IoU of each object with each segment, ``(objects left, segments)`` float64 in [0, 1].

    The union counts all pixels of the table, the background included.
    """
    pixels = table.sum(axis=1) + (0 if missed is None else missed)
    left = 1 + np.flatnonzero(pixels[1:])
    # An object that is left has a pixel, so no union is 0.
    return table[left] / (pixels[left, None] + table.sum(axis=0) - table[left])


def best_overlaps(table: IntArray, missed: IntArray | None = None) -> FloatArray:
    """Largest IoU of each object with a segment, ``(objects left,)``. Several objects may choose the same segment."""
    return overlaps(table, missed).max(axis=1, initial=0.0)


def hungarian_overlaps(table: IntArray, missed: IntArray | None = None) -> FloatArray:
    """IoU of each object with the segment matched to it, ``(objects left,)``; 0 for an object without a segment.

    The one-to-one match is the one with the largest sum of IoU.
    """
    iou = overlaps(table, missed)
    matched = np.zeros(len(iou))
    rows, columns = linear_sum_assignment(iou, maximize=True)
    matched[rows] = iou[rows, columns]
    return matched


def foreground_ari(table: IntArray, missed: IntArray | None = None) -> float:
    """FG-ARI: adjusted Rand index of objects and segments over the pixels inside objects, at most 1.

    Computed in Python integers, because products of pixel pairs exceed 64 bits from about 256 x 256 pixels on. Without
    objects it is 1.0, as in both codes. With a single object it is 1 if one segment covers the object whole, and
    exactly 0 if a single pixel is missing.

    Args:
        table: ``(1 + objects, segments)``, row 0 the background. A segment outside all objects plays no part.
        missed: pixels of each row in no segment; None: there are none.
    """
    inside = table[1:] if missed is None else np.column_stack((table, missed))[1:]
    return adjusted_rand_index(inside) if inside.any() else 1.0


def _mean(values: FloatArray) -> float:
    """Mean; NaN of nothing, without NumPy's warning."""
    return float(values.mean()) if values.size else float("nan")


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


def frame_pixels(height: int, width: int, convention: Convention, side: int = SIDE) -> tuple[IntArray, IntArray]:
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
    from skimage import measure  # takes a second to import

    return measure.label(np.where(labels < 0, -1, labels), background=-1, connectivity=1).astype(np.int32) - 1


def _nearest_exact(length: int, resized: int) -> IntArray:
    # In float32 as in torch: at one size in seventy, some pixels differ from the exact ones.
    scale = np.float32(length) / np.float32(resized)
    return ((np.arange(resized, dtype=np.float32) + np.float32(0.5)) * scale).astype(np.int64).clip(max=length - 1)


def _nearest_of_pillow(length: int, resized: int) -> IntArray:
    source = Image.fromarray(np.arange(length, dtype=np.int32)[None])
    return np.array(source.resize((resized, 1), Image.Resampling.NEAREST))[0].astype(np.int64)


def _centre(indices: IntArray, side: int) -> IntArray:
    start = round((len(indices) - side) / 2)  # Python rounds halves to even, as torchvision's CenterCrop does
    return indices[start : start + side]


def _check(convention: str) -> None:
    if convention not in ("oclf", "spot"):
        raise ValueError(f"convention: must be oclf or spot, got {convention!r}")
