"""Attention as a Markov chain (Erel et al., NeurIPS 2025, arXiv 2507.17657): two bounces, and TokenRank.

Each row of the attention is a probability distribution over the next location. The text of the paper could be read in
parts only: its rule that turns ranks into DiffSeg's anchors is not known, `anchors_by_rank` is this project's own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffseg.masks import grid_side, nearest_cells
from diffseg.precision import float32_products

ALPHA = 0.99  # the authors' share of the attention in TokenRank's chain; the rest jumps anywhere
TOLERANCE = 1e-6  # sum of absolute changes at which the power iteration ends
MAX_STEPS = 2000  # ALPHA**2000 is 2e-9, so that the tolerance is reached before


@torch.no_grad()
@float32_products()
def two_bounces(aggregated: Tensor) -> Tensor:
    """Attention after two steps of the chain: ``(S*S, S*S)`` float32, rows sum to 1, multiplied by itself.

    Its maps are smoother, so DiffSeg needs about a sixth of the tau.

    >>> two_bounces(torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
    tensor([[0.2500, 0.7500],
            [0.0000, 1.0000]])
    """
    product = aggregated @ aggregated
    return product.div_(product.sum(dim=1, keepdim=True))


@torch.no_grad()
def token_rank(aggregated: Tensor, alpha: float = ALPHA) -> Tensor:
    """TokenRank: how often a walk that follows the attention visits each location, as PageRank ranks pages.

    Takes ``(n, n)`` floating point, rows sum to 1; returns the probabilities ``(n,)`` of the stationary distribution.
    ``alpha``, in (0, 1), is the probability of a step along the attention; else the walk jumps to any location.

    >>> token_rank(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), alpha=0.5)
    tensor([0.2500, 0.7500])
    """
    rank = aggregated.new_full((len(aggregated),), 1 / len(aggregated))
    for _ in range(MAX_STEPS):
        before, rank = rank, alpha * (rank @ aggregated) + (1 - alpha) / len(aggregated)
        rank /= rank.sum()
        if float((rank - before).abs().sum()) < TOLERANCE:
            break
    return rank


def anchors_by_rank(aggregated: Tensor, anchors: int) -> Tensor:
    """DiffSeg's anchors by TokenRank: the location with the highest rank in each cell of an even grid of M x M cells.

    Returns ``(M*M,)`` int64 row numbers of the tensor, in the row-major order of the grid's cells, on the CPU. The
    first of equal ranks wins.
    """
    side = grid_side(aggregated)
    line = nearest_cells(anchors, side)
    cells = (line[:, None] * anchors + line).flatten()
    order = token_rank(aggregated).cpu().argsort(descending=True, stable=True)
    # Written from the lowest rank to the highest, so that the highest stays.
    chosen = torch.empty(anchors * anchors, dtype=torch.int64)
    for location in order.flip(0).tolist():
        chosen[cells[location]] = location
    return chosen
