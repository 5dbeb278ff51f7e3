"""Draws label maps for people, and writes them to files. Needs only NumPy and Pillow.

`Pixels` are ``(h, w, 3)`` uint8 RGB. A label map is ``(h, w)`` integers: the number of a segment or class, or `VOID`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from diffseg.files.writing import replacing

Pixels = NDArray[np.uint8]
Labels = NDArray[np.integer]

Colour = Sequence[int]

CHANNEL_MAX = np.iinfo(np.uint8).max

VOID = -1
"""Label of a pixel that belongs to no segment or class."""

VOID_COLOUR = (0, 0, 0)
COLOURS = 256
"""Number of different colours: the values of an 8-bit label map."""
LINE_STEP = 1000
"""Pixels of the picture's longer side for which the line between two segments grows by one pixel on each side."""

RIM_BRIGHTNESS = 0.65

TILE_WIDTH = 400
CAPTION_SHARE = 22  # width of a tile divided by the height of its caption's letters
SMALLEST_CAPTION = 12  # pixels
CAPTION_LINES = 3
TILE_SHAPE = 4 / 3
"""Largest height of a tile of a contact sheet, divided by its width. Portraits from phones have this shape."""


def palette(count: int) -> NDArray[np.uint8]:
    """Colours ``(count, 3)`` uint8 RGB of the labels 0..count-1. They never change; the first ones differ most.

    They repeat after `COLOURS`; none is black, white or grey.
    """
    return _all_colours().take(np.arange(count), axis=0, mode="wrap")


@cache
def _all_colours() -> NDArray[np.uint8]:
    """``(COLOURS, 3)`` uint8: each colour is the point of a grid that is farthest from all colours before it."""
    # In Oklab (Ottosson 2020) distances match perceived differences, but large ones depend more on hue. So lightness
    # counts half, and strong colours move together. Both limits leave the photograph visible under the colours.
    hue, chroma, lightness = np.meshgrid(
        np.linspace(0, 2 * np.pi, 72, endpoint=False), np.linspace(0.07, 0.23, 5), np.linspace(0.42, 0.84, 7)
    )
    directions = np.stack([np.cos(hue), np.sin(hue)], axis=-1)
    lab = np.concatenate([lightness[..., None], chroma[..., None] * directions], axis=-1).reshape(-1, 3)
    felt = np.concatenate([lightness[..., None] / 2, (chroma / (1 + 5 * chroma))[..., None] * directions], axis=-1)
    felt = felt.reshape(-1, 3)
    rgb = _oklab_to_linear_rgb(lab)
    shown = ((rgb >= 0) & (rgb <= 1)).all(axis=1)  # a screen cannot show the others
    lab, felt, rgb = lab[shown], felt[shown], rgb[shown]

    blue = (0.62, -0.05, -0.14)
    chosen = [int(((lab - blue) ** 2).sum(axis=1).argmin())]
    distance = np.full(len(lab), np.inf)
    while len(chosen) < COLOURS:
        distance = np.minimum(distance, ((felt - felt[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(distance.argmax()))
    linear = rgb[chosen]
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)  # the curve of sRGB
    return np.rint(255 * gamma).astype(np.uint8)


def _oklab_to_linear_rgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Converts ``(n, 3)`` colours. A screen shows those in [0, 1]. https://bottosson.github.io/posts/oklab/"""
    to_cones = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    return (lab @ to_cones.T) ** 3 @ to_rgb.T


def colourise(labels: Labels) -> Pixels:
    """Paints a label map: ``(h, w, 3)`` uint8 RGB; label n has row n of `palette`, `VOID` has `VOID_COLOUR`.

    Raises ValueError if a label is negative, and not `VOID`.
    """
    numbers = np.where(labels == VOID, 0, labels)
    if numbers.min(initial=0) < 0:
        raise ValueError(f"labels: must be at least 0, or {VOID} for void, got {numbers.min()}")
    painted = palette(COLOURS).take(numbers, axis=0, mode="wrap")
    painted[labels == VOID] = VOID_COLOUR
    return painted


def boundaries(labels: Labels, radius: int = 0) -> NDArray[np.bool_]:
    """Marks the borders between segments: ``(h, w)`` bool, lines that grow by ``radius`` pixels to every side.

    At radius 0 it marks each pixel with another label above, below, left or right of it, so lines are two pixels wide.
    """
    line = np.zeros(labels.shape, bool)
    beside, below = labels[:, :-1] != labels[:, 1:], labels[:-1] != labels[1:]
    line[:, :-1] |= beside
    line[:, 1:] |= beside
    line[:-1] |= below
    line[1:] |= below
    for _ in range(2):  # along the columns, then along the rows
        line = np.ascontiguousarray(line.T)
        grown = line.copy()
        for shift in range(1, radius + 1):
            grown[shift:] |= line[:-shift]
            grown[:-shift] |= line[shift:]
        line = grown
    return line


def overlay(image: Pixels, labels: Labels, opacity: float = 0.5, colours: Pixels | None = None) -> Pixels:
    """Lays the colours of the segments over a photograph, with a white line between them: ``(h, w, 3)`` uint8 RGB.

    Args:
        image: ``(h, w, 3)`` uint8 RGB.
        labels: ``(h, w)`` integers >= 0, or `VOID`, where the photograph stays as it is.
        opacity: opacity of the colours, from 0 (photograph) to 1 (colours).
        colours: ``(h, w, 3)`` uint8 RGB, the painted label map; None: that of `colourise`.

    Raises:
        ValueError: the sizes differ, a label is negative, or the opacity is out of range.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity: must be in [0, 1], got {opacity}")
    if image.shape[:2] != labels.shape:
        raise ValueError(f"labels: must have the size of the image, {image.shape[:2]}, got {labels.shape}")
    painted = colourise(labels) if colours is None else colours.copy()
    painted[labels == VOID] = image[labels == VOID]
    mixed = np.array(Image.blend(Image.fromarray(image), Image.fromarray(painted), opacity))
    # A dark rim keeps the white line visible on a bright photograph. Both grow with the picture.
    radius = max(image.shape) // LINE_STEP
    rim = boundaries(labels, 2 * radius + 1)
    mixed[rim] = mixed[rim] * RIM_BRIGHTNESS
    mixed[boundaries(labels, radius)] = CHANNEL_MAX
    return mixed


def by_area(labels: Labels) -> Labels:
    """Numbers segments 0, 1, 2, ... from the largest on, int64; of equal ones, the lower number comes first."""
    area = np.bincount(labels.ravel())
    rank = np.empty(len(area), np.int64)
    rank[np.argsort(-area, kind="stable")] = np.arange(len(area))
    return rank[labels]


def write_label_map(path: str | Path, labels: Labels) -> None:
    """Writes a label map as a PNG whose pixel values are the labels: 8 bits with a `palette` if they fit, else 16 bits.

    The file at ``path`` is replaced in one step. Raises ValueError unless the labels are 0..65535, OSError if the file
    cannot be written.
    """
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= 2**16:
        raise ValueError(f"labels: must be 0..65535, got {lowest}..{highest}")
    if highest < COLOURS:
        image = Image.fromarray(labels.astype(np.uint8), mode="P")
        image.putpalette(palette(COLOURS).tobytes())
    else:
        image = Image.fromarray(labels.astype(np.uint16))
    write_picture(path, image)


PNG_LEVEL = 1  # zlib's level: a quarter of the default's time, 10 % more bytes (measured on panels of the photographs)


def write_picture(path: str | Path, image: Pixels | Image.Image) -> None:
    """Writes ``(h, w, 3)`` uint8 RGB, or a PIL image, as a PNG in one step. Raises OSError if it cannot be written."""
    with replacing(path) as temporary:
        picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
        picture.save(temporary, format="PNG", compress_level=PNG_LEVEL)


def fit(image: Pixels, tile_width: int = TILE_WIDTH) -> Pixels:
    """Resizes ``(h, w, 3)`` uint8 RGB to the size of a tile of `contact_sheet`; its aspect ratio stays.

    A tile is ``tile_width`` pixels wide and at most `TILE_SHAPE` times as high.
    """
    height, width = image.shape[:2]
    scale = min(tile_width / width, TILE_SHAPE * tile_width / height)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def contact_sheet(rows: Sequence[Sequence[tuple[str, Pixels]]], tile_width: int = TILE_WIDTH) -> Pixels:
    """Pictures side by side on white, each with a caption below: ``(h, w, 3)`` uint8 RGB.

    All tiles have the same width. The tiles of a row are as high as its highest picture. Pictures are resized (`fit`)
    and centred.

    Args:
        rows: the rows from top to bottom; in each, (caption, ``(h, w, 3)`` uint8 RGB) from left to right. Rows may
            differ in length, but none is empty. A caption has up to `CAPTION_LINES` lines; the last one is shortened.
        tile_width: width of a tile in pixels.
    """
    font_size = caption_size(tile_width)
    font = ImageFont.load_default(font_size)
    line = font_size * 5 // 4  # height of a caption, and the unit of all spacing
    fitted = [[(caption, Image.fromarray(fit(image, tile_width))) for caption, image in row] for row in rows]
    heights = [max(image.height for _, image in row) for row in fitted]
    captions = [[_wrapped(caption, tile_width, font) for caption, _ in row] for row in rows]
    below = [(2 + max(map(len, row))) * line for row in captions]
    width = line + (tile_width + line) * max(map(len, rows))
    sheet = Image.new("RGB", (width, line + sum(heights) + sum(below)), "white")
    draw = ImageDraw.Draw(sheet)
    top = line
    for row, texts, height, space in zip(fitted, captions, heights, below, strict=True):
        for column, ((_, image), lines) in enumerate(zip(row, texts, strict=True)):
            middle = line + column * (tile_width + line) + tile_width // 2
            sheet.paste(image, (middle - image.width // 2, top + (height - image.height) // 2))
            for number, text in enumerate(lines):
                draw.text((middle, top + height + line // 3 + number * line), text, "black", font, anchor="ma")
        top += height + space
    return np.array(sheet)


def legend(entries: Sequence[tuple[str, Colour]], width: int, font_size: int) -> NDArray[np.uint8]:
    """Draws a swatch and a name for each entry, in as many lines as needed: ``(h, width, 3)`` uint8 RGB, on white.

    A colour has three values 0..255. The letters are ``font_size`` pixels high.

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


def caption_size(tile_width: int) -> int:
    """Height in pixels of the letters below tiles of that width."""
    return max(SMALLEST_CAPTION, tile_width // CAPTION_SHARE)


def _wrapped(text: str, width: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Breaks a caption between words into up to `CAPTION_LINES` lines of ``width`` pixels, at least one."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width and len(lines) < CAPTION_LINES:
            lines.append(word)
        else:
            lines[-1] = longer
    return [_shorten(line, width, font) for line in lines]


def _shorten(text: str, width: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Shortens the text to ``width`` pixels; an ellipsis marks the cut."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
