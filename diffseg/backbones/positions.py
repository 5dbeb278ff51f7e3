"""Position tables of DINO and DINOv2 at other input sizes than that of their training, as the authors compute them.

The releases of transformers and timm interpolate the table in other ways: at 448 pixels the table of DINOv2 is 4 % off.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

OFFSET = 0.1  # added to the side so that rounding never loses a row; the authors' factor keeps it


def authors_table(table: Tensor, side: int, registers: bool = False) -> Tensor:
    """Interpolates a position table to another number of patches, bicubically.

    DINO (``vision_transformer.py``) and DINOv2 sample the table at steps of ``n / (side + 0.1)``, without antialiasing.
    The DINOv2 models with registers were trained with another rule: steps of ``n / side``, with antialiasing.

    Args:
        table: ``(1, 1 + n*n, C)``: the class token's row, then those of n x n patches, row-major.
        side: number of patches along one side of the input.
        registers: True for models with register tokens.

    Returns:
        ``(1, 1 + side*side, C)`` of the table's dtype. The table itself if ``side`` is n.
    """
    trained = math.isqrt(table.shape[1] - 1)
    if side == trained:
        return table
    grid = table[:, 1:].float().unflatten(1, (trained, trained)).permute(0, 3, 1, 2)
    if registers:
        grid = F.interpolate(grid, size=(side, side), mode="bicubic", antialias=True)
    else:
        factor = (side + OFFSET) / trained
        grid = F.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([table[:, :1], grid.flatten(2).mT.to(table.dtype)], dim=1)
