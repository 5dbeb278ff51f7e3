"""Pictures for the page, as data URIs."""

from __future__ import annotations

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffseg.pictures import COLOURS, LINE_STEP, Labels, Pixels, boundaries, palette
from experiments.plotting.colours import image_uri

JPEG_QUALITY = 88
HEAT = "plasma"
HEAT_OPACITY = 235  # of 255: opacity of the largest value
RIM_OPACITY = 90  # of 255: opacity of the dark rim beside the white line


def photo(image: Pixels) -> str:
    """A photograph ``(h, w, 3)`` uint8 as JPEG."""
    return image_uri(Image.fromarray(image), "JPEG", quality=JPEG_QUALITY)


def colours(labels: Labels) -> str:
    """A label map as PNG, in the colours of the downloaded files."""
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
