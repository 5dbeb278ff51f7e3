"""One picture with its attention, and what has been computed of it: each step anew only where its input has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diffseg.aggregation import Aggregation
from diffseg.attention import AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.backbones.image import resize_image
from diffseg.masks import Size
from diffseg.pictures import Labels, Picture, by_area
from diffseg.segmenters.base import Scene, Segmenter

LONGEST = 800  # pixels of the longer side of what is shown; files have the picture's own size
TENSORS = 2  # kept: those of the last two R, so that going back and forth costs nothing
RESULTS = 16

Weights = tuple[float, ...]
"""R: one number >= 0 a side, finest side first."""


@dataclass(frozen=True)
class Segments:
    """A segmentation.

    Attributes:
        labels: ``(h, w)`` int64 0, 1, ..., the largest segment first.
        seconds: that it took, aggregation included where that was new.
    """

    labels: Labels
    seconds: float

    @property
    def count(self) -> int:
        return int(self.labels.max()) + 1


@dataclass(frozen=True)
class _Aggregated:
    """An aggregated tensor, and what segmentations of it share (`diffseg.segmenters.base.Scene`)."""

    tensor: Tensor
    shared: dict[str, Any] = field(default_factory=dict)


class Study:
    """A picture under the eye.

    Attributes:
        image: ``(h, w, 3)`` uint8 RGB, as it was given.
        shown: the same with a longer side of at most `LONGEST` pixels.
        maps: its attention, squeezed into the backbone's square as ``python -m diffseg`` does.
        seconds: that the backbone took.
    """

    def __init__(self, image: Picture, model: AttentionModel) -> None:
        """Runs the backbone, once."""
        self.image = image
        self.shown = _shrink(image)
        self._square = resize_image(image, model.spec.size)
        start = time.perf_counter()
        self.maps: AttentionMaps = model.attend(self._square[None])[0]
        self.seconds = time.perf_counter() - start
        # Functions of what they need alone: a cache that held the study would keep it, a GB or so, after its time.
        self._aggregated = lru_cache(TENSORS)(partial(_aggregate, self.maps))
        self._segment = partial(_segment, self._aggregated, self.maps.features, self._square)
        self._result = lru_cache(RESULTS)(self._segment)

    @property
    def sides(self) -> tuple[int, ...]:
        """Of the attention maps, finest first."""
        return self.maps.sides

    def segment(self, segmenter: Segmenter, weights: Sequence[float]) -> Segments:
        """Segments the picture as it is shown.

        Args:
            segmenter: resolved.
            weights: R, one number a side, the finest first.

        Raises:
            ValueError: weights that are negative, all zero or not one a side; a segmenter that does not fit.
        """
        return self._result(segmenter, tuple(weights), self.shown.shape[:2])

    def full(self, segmenter: Segmenter, weights: Sequence[float]) -> Labels:
        """`segment` in the picture's own size, ``(h, w)`` int64: what is written to files."""
        if self.shown.shape == self.image.shape:
            return self.segment(segmenter, weights).labels
        # Not kept: label maps of many megapixels would fill the memory.
        return self._segment(segmenter, tuple(weights), self.image.shape[:2]).labels

    def attention(self, x: float, y: float, weights: Sequence[float]) -> dict[str, NDArray[np.float32]]:
        """How a place attends to all others.

        Args:
            x, y: the place, in 0..1 from the left and from the top.
            weights: R, for the aggregated map.

        Returns:
            "S x S" of each side, finest first, then "aggregated" -> ``(side, side)`` float32, which sums to 1.
        """
        maps = {f"{side} x {side}": self.maps.maps[side] for side in self.sides}
        maps["aggregated"] = self._aggregated(tuple(weights)).tensor
        found = {}
        for name, attention in maps.items():
            side = round(len(attention) ** 0.5)
            row, column = (min(int(place * side), side - 1) for place in (y, x))
            found[name] = attention[row * side + column].view(side, side).float().cpu().numpy()
        return found


def _aggregate(maps: AttentionMaps, weights: Weights) -> _Aggregated:
    return _Aggregated(Aggregation(weights)(maps))


def _segment(
    aggregated: Callable[[Weights], _Aggregated],
    features: Tensor | None,
    square: Tensor,
    segmenter: Segmenter,
    weights: Weights,
    size: Size,
) -> Segments:
    start = time.perf_counter()
    kept = aggregated(weights)
    scene = Scene(aggregated=kept.tensor, size=size, features=features, image=square, shared=kept.shared)
    labels = by_area(segmenter(scene).cpu().numpy())
    return Segments(labels, time.perf_counter() - start)


def _shrink(image: Picture) -> Picture:
    height, width = image.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
