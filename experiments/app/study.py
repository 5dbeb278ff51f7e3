"""One picture with its attention, and what has been computed of it: each step anew only where its input has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datasets.transforms import resize_image
from diffseg.aggregation import Aggregation
from diffseg.attention import AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.masks import Size
from diffseg.merging import Merger
from diffseg.pictures import Labels, Picture, by_area
from diffseg.segmenters import Scene, Segmenter

LONGEST = 800  # pixels of the longer side of what is shown; files have the picture's own size
MERGERS = 2  # kept: the last two R, so that going back and forth costs nothing
GRIDS = 8  # of anchors whose divergences one merger may keep; at 64 x 64 each takes up to 67 MB
RESULTS = 16

Weights = tuple[float, ...]
"""R: one number >= 0 a side, finest side first."""


@dataclass(frozen=True)
class Result:
    """A segmentation.

    Attributes:
        labels: ``(h, w)`` int64 0, 1, ..., the largest segment first.
        seconds: that it took, aggregation included where that was new.
    """

    labels: Labels
    seconds: float

    @property
    def segments(self) -> int:
        return int(self.labels.max()) + 1


@dataclass
class _Kept:
    """A merger, and the numbers of anchors whose divergences it keeps."""

    merger: Merger
    grids: set[int] = field(default_factory=set)

    def ready(self, anchors: int | None) -> Merger:
        """The merger, replaced by one that keeps nothing where it would keep too much."""
        if anchors is not None and anchors not in self.grids:
            if len(self.grids) == GRIDS:
                self.merger, self.grids = Merger(self.merger.aggregated), set()
            self.grids.add(anchors)
        return self.merger


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
        self._kept = lru_cache(MERGERS)(partial(_aggregate, self.maps))
        self._segment = partial(_segment, self._kept, self.maps.features, self._square)
        self._result = lru_cache(RESULTS)(self._segment)

    @property
    def sides(self) -> tuple[int, ...]:
        """Of the attention maps, finest first."""
        return self.maps.sides

    def proportional(self) -> Weights:
        """R of the paper: a side weighs its own length; the finest is 1."""
        return tuple(side / self.sides[0] for side in self.sides)

    def segment(self, segmenter: Segmenter, weights: Sequence[float]) -> Result:
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
        maps["aggregated"] = self._kept(tuple(weights)).merger.aggregated
        found = {}
        for name, attention in maps.items():
            side = round(len(attention) ** 0.5)
            row, column = (min(int(place * side), side - 1) for place in (y, x))
            found[name] = attention[row * side + column].view(side, side).float().cpu().numpy()
        return found


def _aggregate(maps: AttentionMaps, weights: Weights) -> _Kept:
    return _Kept(Merger(Aggregation(weights)(maps)))


def _segment(
    kept: Callable[[Weights], _Kept],
    features: Tensor | None,
    square: Tensor,
    segmenter: Segmenter,
    weights: Weights,
    size: Size,
) -> Result:
    start = time.perf_counter()
    merger = kept(weights).ready(getattr(segmenter, "anchors", None))
    labels = by_area(segmenter(Scene(merger, size, 1, features, square)).cpu().numpy())
    return Result(labels, time.perf_counter() - start)


def _shrink(image: Picture) -> Picture:
    height, width = image.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
