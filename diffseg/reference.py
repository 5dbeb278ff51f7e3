"""The method in its shortest form (paper, Section 3.2, Algorithm 1): slow, and without options.

`diffseg.aggregate` and `diffseg.segment` compute the same, only faster. Tests and the benchmark compare them with this
file.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from diffseg.divergence import FLOOR


def aggregate(maps: Mapping[int, Tensor]) -> Tensor:
    """Eq. 2 and 3: turns side -> ``(side*side, side*side)`` into ``(S*S, S*S)``. The weight of a side is ``side``."""
    finest = max(maps)
    total = torch.zeros_like(maps[finest])
    for side, attention in maps.items():
        grid = attention.view(side**2, 1, side, side)
        upsampled = F.interpolate(grid, (finest, finest), mode="bilinear", align_corners=False).view(side, side, -1)
        block = finest // side
        repeated = upsampled.repeat_interleave(block, dim=0).repeat_interleave(block, dim=1).view(finest**2, -1)
        total = total + side / sum(maps) * repeated / repeated.sum(dim=1, keepdim=True)
    return total


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Eq. 5: (KL(p||q) + KL(q||p)) / 2 of all pairs, ``(n, d)`` and ``(m, d)`` to ``(n, m)``, in nats."""
    log_p, log_q = p.clamp(min=FLOOR).log(), q.clamp(min=FLOOR).log()
    self_terms = (p * log_p).sum(dim=1)[:, None] + (q * log_q).sum(dim=1)
    return (self_terms - p @ log_q.T - log_p @ q.T) / 2


def merge(aggregated: Tensor, anchors: Tensor, tau: float, iterations: int) -> Tensor:
    """Eq. 4 and Algorithm 1: merges ``(S*S, S*S)`` from the anchors' row numbers to ``(K, S*S)`` proposals."""
    close = divergence(aggregated[anchors], aggregated) < tau
    proposals = close.to(aggregated.dtype) @ aggregated / close.sum(dim=1, keepdim=True)
    for _ in range(iterations - 1):
        close, unmatched, merged = divergence(proposals, proposals) < tau, set(range(len(proposals))), []
        for index in range(len(proposals)):
            if index in unmatched:
                merged.append(proposals[close[index]].mean(dim=0))
                unmatched -= set(close[index].nonzero().flatten().tolist())
        proposals = torch.stack(merged)
    return proposals


def masks(proposals: Tensor, size: int) -> Tensor:
    """Eq. 6: ``(K, S*S)`` to labels ``(size, size)``: each pixel takes the proposal that attends to it most."""
    side = isqrt(proposals.shape[1])
    grid = proposals.view(1, -1, side, side)
    return F.interpolate(grid, (size, size), mode="bilinear", align_corners=False)[0].argmax(dim=0)
