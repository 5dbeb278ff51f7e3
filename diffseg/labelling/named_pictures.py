"""Draws named segments, with their names, on the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from diffseg import pictures
from diffseg.labelling.naming import Named
from diffseg.pictures import legend, palette

GRID = 256  # longer side, in pixels, of the shrunk mask that is searched for places of names
FONT_SHARE = 32  # the picture's longer side divided by the height of a name
SMALLEST_FONT = 11


def draw(image: pictures.Pixels, named: Named) -> pictures.Pixels:
    """Draws the photograph under the colours of the names, each name on its segments, and a legend below.

    Args:
        image: ``(h, w, 3)`` uint8 RGB.
        named: the named segments of the same picture.

    Returns:
        ``(h', w, 3)`` uint8 RGB, h' > h.
    """
    height, width = named.labels.shape
    font_size = max(SMALLEST_FONT, round(max(height, width) / FONT_SHARE))
    font = ImageFont.load_default(font_size)
    drawn = Image.fromarray(pictures.overlay(image, named.labels))
    pen = ImageDraw.Draw(drawn)
    for number, name in enumerate(named.names):
        half = font.getlength(name) / 2 + font_size / 4
        for x, y in places(named.labels == number, font_size / 2):
            inside = max(min(x, width - half), half), max(min(y, height - font_size), font_size)
            pen.text(inside, name, "white", font, anchor="mm", stroke_width=max(1, font_size // 9), stroke_fill="black")
    shares = np.bincount(named.labels.ravel()) / named.labels.size
    names = [f"{name} {share:.0%}" for name, share in zip(named.names, shares, strict=True)]
    entries = list(zip(names, palette(len(names)).tolist(), strict=True))
    return np.vstack([np.array(drawn), legend(entries, width, font_size)])


def places(mask: NDArray[np.bool_], radius: float) -> list[tuple[float, float]]:
    """Finds places for a name on a mask: the centre of the largest circle in each of its connected parts.

    Args:
        mask: ``(h, w)`` bool, not empty.
        radius: smallest circle, in pixels. Parts without such a circle get no name, except the part with the largest
            circle.

    Returns:
        (x, y) in pixels, the largest circle first.
    """
    step = -(-max(mask.shape) // GRID)
    # A border of one cell keeps circles inside the picture: without it, masks at the edge would seem to continue.
    coarse = np.pad(mask[step // 2 :: step, step // 2 :: step], 1)
    if not coarse.any():  # the mask lies between the grid's lines
        y, x = np.argwhere(mask).mean(axis=0)
        return [(float(x), float(y))]
    distance = ndimage.distance_transform_edt(coarse)
    parts, count = ndimage.label(coarse)
    centres = ndimage.maximum_position(distance, parts, range(1, count + 1))
    centres.sort(key=lambda centre: -distance[centre])
    large = [centre for centre in centres if distance[centre] * step >= radius] or centres[:1]
    return [((column - 1) * step + step // 2, (row - 1) * step + step // 2) for row, column in large]
