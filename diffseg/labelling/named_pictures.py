"""Named segments for people and programs: a picture with the names on it, and COCO run lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from diffseg import pictures
from diffseg.labelling.naming import Named
from diffseg.legend import legend
from diffseg.palette import palette
from diffseg.result import annotation

GRID = 256  # pixels of the longer side of the copy on which places for the names are looked for
FONT_SHARE = 32  # height of a name: this fraction of the picture's longer side
SMALLEST_FONT = 11

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def coco_segments(named: Named) -> list[dict[str, Any]]:
    """One dictionary a name, in COCO's words, ready for JSON.

    Returns:
        ``name``; ``segmentation``: ``{"size": [h, w], "counts": str}``, the compressed run lengths that pycocotools
        reads; ``area`` in pixels; ``bbox`` ``[x, y, width, height]``; ``segments``: numbers in the label map.
    """
    return [
        {"name": name, **annotation(named.labels == number), "segments": list(parts)}
        for number, (name, parts) in enumerate(zip(named.names, named.parts, strict=True))
    ]


def draw(image: pictures.Picture, named: Named) -> pictures.Picture:
    """The photograph under the colours of the names, each name written on its segments, and a legend below.

    Args:
        image: ``(h, w, 3)`` uint8 RGB.
        named: of the same size.

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
    """Where to write a name on a mask: the middle of the largest circle in each of its connected parts.

    Args:
        mask: ``(h, w)`` bool, not empty.
        radius: in pixels; parts without a circle as large go unnamed, but for the part with the largest circle.

    Returns:
        (x, y) in pixels, the largest circle first.
    """
    step = -(-max(mask.shape) // GRID)
    # Without a border, what is cut off by the picture's edge would seem to go on beyond it.
    coarse = np.pad(mask[step // 2 :: step, step // 2 :: step], 1)
    if not coarse.any():  # slipped between the grid's lines
        y, x = np.argwhere(mask).mean(axis=0)
        return [(float(x), float(y))]
    distance = ndimage.distance_transform_edt(coarse)
    parts, count = ndimage.label(coarse)
    centres = ndimage.maximum_position(distance, parts, range(1, count + 1))
    centres.sort(key=lambda centre: -distance[centre])
    large = [centre for centre in centres if distance[centre] * step >= radius] or centres[:1]
    return [((column - 1) * step + step // 2, (row - 1) * step + step // 2) for row, column in large]
