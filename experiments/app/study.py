"""A picture with its attention and its segmentations. A step is computed again only if its input has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diffseg.aggregation import Aggregation
from diffseg.attention import AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.backbones.image import resize_image
from diffseg.pictures import Labels, Pixels, by_area
from diffseg.segmenters.base import Scene, Segmenter

LONGEST = 800  # pixels: longer side of a picture on the page; downloads have the size of the original
TENSORS = 2  # aggregated tensors in the cache: switching between two choices of R costs nothing
CACHED_RESULTS = 16  # segmentations in the cache

Weights = tuple[float, ...]
"""R: one number >= 0 for each side, finest side first."""


@dataclass(frozen=True)
class Segments:
    """A segmentation.

    Attributes:
        labels: ``(h, w)`` int64 0, 1, ..., the largest segment first.
        seconds: time it took, with the aggregation if that was not cached.
    """

    labels: Labels
    seconds: float

    @property
    def count(self) -> int:
        return int(self.labels.max()) + 1


class Study:
    """A picture and its cached results.

    Attributes:
        image: ``(h, w, 3)`` uint8 RGB, the original.
        shown: the same, shrunk to a longer side of at most `LONGEST` pixels.
        maps: attention of the picture, which is squeezed into the backbone's square as by ``python -m diffseg``.
        seconds: time the backbone took.
    """

    def __init__(self, image: Pixels, model: AttentionModel) -> None:
        """Runs the backbone, once."""
        self.image = image
        self.shown = _shrink(image)
        self._square = resize_image(image, model.spec.size)
        start = time.perf_counter()
        self.maps: AttentionMaps = model.attend(self._square[None])[0]
        self.seconds = time.perf_counter() - start
        # The cached functions do not refer to self: a reference cycle would keep about 1 GB alive after the study.
        self._aggregated = lru_cache(TENSORS)(partial(_aggregate, self.maps))
        self._segment = partial(_segment, self._aggregated, self.maps.features, self._square)
        self._result = lru_cache(CACHED_RESULTS)(self._segment)

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of the attention maps, finest first."""
        return self.maps.sides

    def segment(self, segmenter: Segmenter, weights: Sequence[float]) -> Segments:
        """Segments the picture as it is shown.

        Args:
            segmenter: a segmenter without open parameters.
            weights: R, one number for each side, the finest first.

        Raises:
            ValueError: weights that are negative, all zero, or not one for each side; a segmenter that does not fit.
        """
        return self._result(segmenter, tuple(weights), self.shown.shape[:2])

    def full(self, segmenter: Segmenter, weights: Sequence[float]) -> Labels:
        """Segments the picture at its original size, for downloads: ``(h, w)`` int64. Arguments as in `segment`."""
        if self.shown.shape == self.image.shape:
            return self.segment(segmenter, weights).labels
        # Not cached: label maps of many megapixels would fill the memory.
        return self._segment(segmenter, tuple(weights), self.image.shape[:2]).labels

    def attention(self, x: float, y: float, weights: Sequence[float]) -> dict[str, NDArray[np.float32]]:
        """Attention maps of one place.

        Args:
            x, y: the place, in 0..1 from the left and from the top.
            weights: R, for the aggregated map.

        Returns:
            "S x S" of each side, finest first, then "aggregated" -> ``(side, side)`` float32, which sums to 1.
        """
        maps = {f"{side} x {side}": self.maps.maps[side] for side in self.sides}
        maps["aggregated"] = self._aggregated(tuple(weights))
        found = {}
        for name, attention in maps.items():
            side = round(len(attention) ** 0.5)
            row, column = (min(int(place * side), side - 1) for place in (y, x))
            found[name] = attention[row * side + column].view(side, side).float().cpu().numpy()
        return found


def _aggregate(maps: AttentionMaps, weights: Weights) -> Tensor:
    return Aggregation(weights)(maps)


def _segment(
    aggregated: Callable[[Weights], Tensor],
    features: Tensor | None,
    square: Tensor,
    segmenter: Segmenter,
    weights: Weights,
    size: tuple[int, int],
) -> Segments:
    start = time.perf_counter()
    scene = Scene(size=size, aggregated=aggregated(weights), features=features, image=square)
    labels = by_area(segmenter(scene).cpu().numpy())
    return Segments(labels, time.perf_counter() - start)


def _shrink(image: Pixels) -> Pixels:
    height, width = image.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
