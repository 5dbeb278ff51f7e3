"""A picture with its attention. The backbone and the aggregation run again only if their input has changed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diffseg.aggregation import Aggregation
from diffseg.attention import AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.backbones.image import resize_image
from diffseg.pictures import Pixels, by_area
from diffseg.result import Result
from diffseg.segmenters.base import Scene, Segmenter

LONGEST = 800  # pixels: longer side of a picture on the page; downloads have the size of the original
TENSORS = 2  # aggregated tensors in the cache: switching between two choices of R costs nothing


class Study:
    """A picture and its attention.

    Attributes:
        image: ``(h, w, 3)`` uint8 RGB, the original.
        name: its name, for files.
        shown: the image, shrunk to a longer side of at most `LONGEST` pixels.
        maps: attention of the picture, which is squeezed into the backbone's square as by ``python -m diffseg``.
        seconds: time the backbone took.
    """

    def __init__(self, image: Pixels, model: AttentionModel, name: str = "picture") -> None:
        """Runs the backbone, once."""
        self.image, self.name = image, name
        self.shown = _shrink(image)
        self._square = resize_image(image, model.spec.size)
        start = time.perf_counter()
        self.maps: AttentionMaps = model.attend(self._square[None])[0]
        self.seconds = time.perf_counter() - start
        # The cached function does not refer to self: a reference cycle would keep about 1 GB alive after the study.
        self.aggregated = lru_cache(TENSORS)(partial(_aggregate, self.maps))

    def segment(self, segmenter: Segmenter, weights: Sequence[float], image: Pixels | None = None) -> Result:
        """Segments the picture.

        Args:
            segmenter: a segmenter without open parameters.
            weights: R, one number for each side, the finest first.
            image: `shown` (default) or `image`, whose size the labels get.

        Raises:
            ValueError: weights that are negative, all zero, or not one for each side; a segmenter that does not fit.
        """
        image = self.shown if image is None else image
        aggregated = self.aggregated(tuple(weights))
        scene = Scene(
            size=(image.shape[0], image.shape[1]),
            frame="whole",
            aggregated=aggregated,
            features=self.maps.features,
            image=self._square,
            picture=image,
        )
        return Result(image, by_area(segmenter(scene).cpu().numpy()), self.name)

    def attention(self, x: float, y: float, weights: Sequence[float]) -> dict[str, NDArray[np.float32]]:
        """Attention maps of one place.

        Args:
            x, y: the place, in 0..1 from the left and from the top.
            weights: R, for the aggregated map.

        Returns:
            "S x S" of each side, finest first, then "aggregated" -> ``(side, side)`` float32, which sums to 1.
        """
        maps = {f"{side} x {side}": self.maps.maps[side] for side in self.maps.sides}
        maps["aggregated"] = self.aggregated(tuple(weights))
        places = {}
        for name, attention in maps.items():
            side = round(len(attention) ** 0.5)
            row, column = (min(int(place * side), side - 1) for place in (y, x))
            places[name] = attention[row * side + column].view(side, side).float().cpu().numpy()
        return places


def _aggregate(maps: AttentionMaps, weights: tuple[float, ...]) -> Tensor:
    return Aggregation(weights)(maps)


def _shrink(image: Pixels) -> Pixels:
    height, width = image.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
