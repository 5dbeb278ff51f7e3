"""A picture with its attention, and its drawings as data URIs. Does not depend on Streamlit.

The backbone and the aggregation run again only if their input has changed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache, partial

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diffseg.aggregation import Aggregation
from diffseg.attention import AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.backbones.image import resize_image
from diffseg.pictures import COLOURS, LINE_STEP, Labels, Pixels, boundaries, by_area, palette
from diffseg.result import Result
from diffseg.segmenters.base import Scene, Segmenter
from experiments.plotting.colours import image_uri

LONGEST = 800  # pixels: longer side of a picture on the page; downloads have the size of the original
TENSORS = 2  # aggregated tensors in the cache: switching between two choices of R costs nothing
HEAT = "plasma"
HEAT_OPACITY = 235  # of 255: opacity of the largest value
RIM_OPACITY = 90  # of 255: opacity of the dark rim beside the white line


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
        scale = min(1, LONGEST / max(image.shape[:2]))
        height, width = (max(1, round(scale * side)) for side in image.shape[:2])
        self.shown: Pixels = np.array(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
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
        scene = Scene(
            size=(image.shape[0], image.shape[1]),
            frame="whole",
            aggregated=self.aggregated(tuple(weights)),
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
        aggregated = AttentionMaps({self.maps.sides[0]: self.aggregated(tuple(weights))})
        places = {f"{side} x {side}": attention for side, attention in self.maps.at(x, y).items()}
        places |= dict(zip(["aggregated"], aggregated.at(x, y).values(), strict=True))
        return {name: attention.float().cpu().numpy() for name, attention in places.items()}


def _aggregate(maps: AttentionMaps, weights: tuple[float, ...]) -> Tensor:
    return Aggregation(weights)(maps)


def photo(image: Pixels) -> str:
    """A photograph ``(h, w, 3)`` uint8 as a data URI."""
    return image_uri(Image.fromarray(image), "JPEG", quality=88)


def colours(labels: Labels) -> str:
    """A label map as a data URI, in the colours of the downloaded files."""
    image = Image.fromarray((labels % COLOURS).astype(np.uint8), mode="P")
    image.putpalette(palette(COLOURS).tobytes())
    return image_uri(image, "PNG", compress_level=1)


def lines(labels: Labels) -> str:
    """White lines with a dark rim between the segments, transparent elsewhere, like `diffseg.pictures.overlay`."""
    radius = max(labels.shape) // LINE_STEP
    drawn = np.zeros(labels.shape, np.uint8)
    drawn[boundaries(labels, 2 * radius + 1)] = 1
    drawn[boundaries(labels, radius)] = 2
    image = Image.fromarray(drawn, mode="P")
    image.putpalette([0, 0, 0, 0, 0, 0, 255, 255, 255])
    return image_uri(image, "PNG", compress_level=1, transparency=bytes([0, RIM_OPACITY, 255]))


def heat(attention: NDArray[np.float32]) -> str:
    """An attention map ``(side, side)``, one pixel per location: the largest value is yellow, 0 is transparent."""
    share = attention / attention.max()
    painted = matplotlib.colormaps[HEAT](share, bytes=True)
    # With the square root, weak attention is still visible. With a linear opacity it is not.
    painted[..., 3] = np.rint(HEAT_OPACITY * np.sqrt(share))
    return image_uri(Image.fromarray(painted), "PNG")
