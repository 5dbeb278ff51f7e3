"""A legend: swatches of colour and their names, as a picture to put below others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = Sequence[int]


def legend(entries: Sequence[tuple[str, Colour]], width: int, font_size: int) -> NDArray[np.uint8]:
    """Draws a swatch and a name for each entry, in as many lines as needed.

    Args:
        entries: names, each with a colour of three values 0..255.
        width: width of the legend in pixels.
        font_size: height of the letters in pixels.

    Returns:
        ``(h, width, 3)`` uint8 RGB, on white.

    >>> legend([("sky", (0, 0, 255)), ("grass", (0, 255, 0))], width=200, font_size=16).shape
    (48, 200, 3)
    """
    font, line = ImageFont.load_default(font_size), font_size * 3 // 2
    placed: list[tuple[int, int]] = []
    x, y = line // 2, line // 2
    for name, _ in entries:
        needed = round(line * 3 / 2 + font.getlength(name))
        if x > line // 2 and x + needed > width:
            x, y = line // 2, y + line
        placed.append((x, y))
        x += needed
    sheet = Image.new("RGB", (width, y + line * 3 // 2), "white")
    pen = ImageDraw.Draw(sheet)
    for (name, colour), (x, y) in zip(entries, placed, strict=True):
        red, green, blue = (int(value) for value in colour)
        pen.rectangle((x, y, x + font_size, y + font_size), (red, green, blue))
        pen.text((x + font_size * 4 // 3, y + font_size // 2), name, "black", font, anchor="lm")
    return np.array(sheet)
