"""Synthetic attention maps, and a naive upsampling as reference."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def quarters(side: int) -> Tensor:
    """Number of the quarter in which each location of the grid lies."""
    half = torch.arange(side) * 2 // side
    return (2 * half[:, None] + half).flatten()


def blocks(side: int = 8, noise: float = 0.3, seed: int = 0) -> Tensor:
    """Attention of a picture whose four quarters each attend to themselves, with noise."""
    generator = torch.Generator().manual_seed(seed)
    quarter = quarters(side)
    same = quarter[:, None] == quarter
    return (3.0 * same + noise * torch.randn(side**2, side**2, generator=generator)).softmax(dim=1)


def smooth(side: int, seed: int) -> Tensor:
    """Attention of spatially smooth random features: clusters without clear borders."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, 16, 5, 5, generator=generator)
    features = torch.nn.functional.interpolate(features, (side, side), mode="bicubic").flatten(2)[0].T
    return (2 * features @ features.T / 4).softmax(dim=1)


def regions(side: int, noise: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features of three vertical stripes of unequal width, and the number of the stripe at each location."""
    generator = torch.Generator().manual_seed(seed)
    column = torch.arange(side) * 8 // side
    stripe = ((column > 1).long() + (column > 4).long()).repeat(side)
    means = torch.randn(3, 24, generator=generator)
    return means[stripe] + noise * torch.randn(side * side, 24, generator=generator), stripe


def bilinear(grid: NDArray, size: int) -> NDArray:
    """Bilinear upsampling with half-pixel centres, pixel by pixel."""
    side = len(grid)
    result = np.empty((size, size))
    for row in range(size):
        for column in range(size):
            y, x = (min(max((at + 0.5) * side / size - 0.5, 0), side - 1) for at in (row, column))
            top, left = int(y), int(x)
            bottom, right = min(top + 1, side - 1), min(left + 1, side - 1)
            upper = grid[top, left] * (1 - x + left) + grid[top, right] * (x - left)
            lower = grid[bottom, left] * (1 - x + left) + grid[bottom, right] * (x - left)
            result[row, column] = upper * (1 - y + top) + lower * (y - top)
    return result
