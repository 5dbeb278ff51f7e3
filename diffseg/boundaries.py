"""Boundaries in the attention: ABDiv of TRACE (Jo et al., ICLR 2026, arXiv 2503.07982).

The paper takes the attention at the diffusion step at which it changes most, finds boundaries in it, and trains a
network on them; only the formula of the boundaries is here. It was read in a third party's note that prints it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffseg.divergence import FLOOR
from diffseg.masks import grid_side


@torch.no_grad()
def boundary_divergence(aggregated: Tensor) -> Tensor:
    """Difference between the attention on opposite sides of each location: large where a boundary passes.

    The sum of the symmetric divergences (`diffseg.symmetric_kl`) of the maps above and below, and of the maps to the
    left and to the right. TRACE takes the divergence in one direction, so that its boundaries change if the picture is
    turned round. At the border of the picture the location itself stands for the missing neighbour.

    Args:
        aggregated: ``(S*S, S*S)`` floating point, rows sum to 1.

    Returns:
        ``(S, S)`` nats, >= 0, of the same dtype and device. A row of the result is a row of the picture.

    Raises:
        ValueError: ``aggregated`` has another shape or dtype.

    >>> left, right = [0.5, 0.0, 0.5, 0.0], [0.1, 0.4, 0.1, 0.4]  # each place of a 2 x 2 picture attends to its column
    >>> boundary_divergence(torch.tensor([left, right, left, right])).count_nonzero().item()
    4
    """
    side = grid_side(aggregated)
    maps = aggregated.view(side, side, -1)
    logarithms = maps.clamp(min=FLOOR).log_()
    before = torch.arange(-1, side - 1, device=maps.device).clamp(min=0)
    after = torch.arange(1, side + 1, device=maps.device).clamp(max=side - 1)
    total = maps.new_zeros(side, side)
    for axis in (0, 1):
        p, q = (maps.index_select(axis, line) for line in (before, after))
        log_p, log_q = (logarithms.index_select(axis, line) for line in (before, after))
        total += ((p - q) * (log_p - log_q)).sum(dim=2) / 2
    return total
