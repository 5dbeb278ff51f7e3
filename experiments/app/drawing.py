"""Pictures for the page, as data URIs."""

from __future__ import annotations

import base64
import io

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffseg.palette import COLOURS, palette
from diffseg.pictures import LINE_STEP, Labels, Picture, boundaries

JPEG_QUALITY = 88
HEAT = "plasma"
HEAT_OPACITY = 235  # of 255, of the largest value
RIM_OPACITY = 90  # of 255, of the dark rim beside the white line


def photo(image: Picture) -> str:
    """``(h, w, 3)`` uint8."""
    return _uri(Image.fromarray(image), "JPEG", quality=JPEG_QUALITY)


def colours(labels: Labels) -> str:
    """The segments' colours, those of the files."""
    image = Image.fromarray((labels % COLOURS).astype(np.uint8), mode="P")
    image.putpalette(palette(COLOURS).tobytes())
    return _uri(image, "PNG", compress_level=1)


def lines(labels: Labels) -> str:
    """White lines with a dark rim between the segments, on nothing, as `diffseg.pictures.overlay` draws them."""
    radius = max(labels.shape) // LINE_STEP
    drawn = np.zeros(labels.shape, np.uint8)
    drawn[boundaries(labels, 2 * radius + 1)] = 1
    drawn[boundaries(labels, radius)] = 2
    image = Image.fromarray(drawn, mode="P")
    image.putpalette([0, 0, 0, 0, 0, 0, 255, 255, 255])
    return _uri(image, "PNG", compress_level=1, transparency=bytes([0, RIM_OPACITY, 255]))


def heat(attention: NDArray[np.float32]) -> str:
    """An attention map ``(side, side)``, a pixel a location: yellow the largest value, and what is small is clear."""
    share = attention / attention.max()
    painted = matplotlib.colormaps[HEAT](share, bytes=True)
    # The square root shows what is weak but there, which a linear one would not.
    painted[..., 3] = np.rint(HEAT_OPACITY * np.sqrt(share))
    return _uri(Image.fromarray(painted), "PNG")


def _uri(image: Image.Image, kind: str, **options: object) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
