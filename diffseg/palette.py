"""The fixed colours of labels, chosen to differ as much as possible without being dark, pale or garish."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

COLOURS = 256
"""Number of different colours: the values of an 8-bit label map."""


def palette(count: int) -> NDArray[np.uint8]:
    """Colours of the labels 0..count-1. They never change; the first ones differ most.

    Returns:
        ``(count, 3)`` uint8 RGB. They repeat after `COLOURS`; none is black, white or grey.
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
