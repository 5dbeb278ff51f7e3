"""The position tables of DINO's and DINOv2's authors, written in NumPy from their description."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cubic(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel (IEEE TASSP 1981) with the parameter ``a``."""
    x = np.abs(distance)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def plain_weights(trained: int, side: int) -> NDArray[np.float64]:
    """``(side, trained)``: bicubic (a = -0.75), steps of trained / (side + 0.1), the border repeated."""
    weights = np.zeros((side, trained))
    for target in range(side):
        place = (target + 0.5) * trained / (side + 0.1) - 0.5
        for cell in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            weights[target, min(max(cell, 0), trained - 1)] += cubic(np.array(place - cell), -0.75)
    return weights


def antialiased_weights(trained: int, side: int) -> NDArray[np.float64]:
    """``(side, trained)``: bicubic (a = -0.5), the kernel as wide as a step if that is more than a cell."""
    step = trained / side
    width = max(step, 1.0)
    places = (np.arange(side) + 0.5) * step - 0.5
    weights = cubic((places[:, None] - np.arange(trained)) / width, -0.5)
    return weights / weights.sum(axis=1, keepdims=True)


def interpolated(table: NDArray[np.float32], side: int, registers: bool) -> NDArray[np.float32]:
    """``(1, 1 + n*n, C)`` -> ``(1, 1 + side*side, C)``; the class token's row stays."""
    trained = round((table.shape[1] - 1) ** 0.5)
    weights = (antialiased_weights if registers else plain_weights)(trained, side)
    grid = table[0, 1:].reshape(trained, trained, -1).astype(np.float64)
    resized = np.einsum("ri,cj,ijk->rck", weights, weights, grid).reshape(1, side * side, -1)
    return np.concatenate([table[:, :1], resized.astype(np.float32)], axis=1)
