"""A picture of two colours, and scenes that show it."""

from __future__ import annotations

import torch
from torch import Tensor

from diffseg.segmenters.base import Scene


def scene(image: Tensor | None = None, truth: Tensor | None = None, side: int = 4, size: int = 40) -> Scene:
    maps = torch.full((side**2, side**2), 1 / side**2)
    return Scene(aggregated=maps, size=(size, size), image=image, truth=truth)


def two_tone() -> tuple[Tensor, Tensor]:
    """A picture of 40 x 40 pixels with noise, a blue square on orange, and the mask of the square."""
    inside = torch.zeros(40, 40, dtype=torch.bool)
    inside[6:20, 22:36] = True
    colours = torch.tensor([[240.0, 130.0, 10.0], [20.0, 60.0, 200.0]])
    noise = 4 * torch.randn(3, 40, 40, generator=torch.Generator().manual_seed(0))
    return (colours[inside.long()].permute(2, 0, 1) + noise).clamp(0, 255), inside
