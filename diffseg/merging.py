"""Iterative attention merging: the segmenter of the paper (Section 3.2, Eq. 4 and 5, Algorithm 1).

`diffseg.reference` is the same algorithm in its shortest form: read that first. `diffseg.segment` and its segmenter are
in `diffseg.segmenters.diffseg`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from diffseg.chains import anchors_by_rank
from diffseg.divergence import Logarithms, Precision, closer_than, symmetric_kl
from diffseg.limits import check
from diffseg.masks import grid_side, nearest_cells
from diffseg.precision import float32_products, float64_device

# Sets of anchors whose divergences a `Merger` keeps; at S = 64 and M = 64 each takes 67 MB.
KEPT_DIVERGENCES = 8

Grid = Literal["official", "even"]
Rule = Literal["official", "paper"]
AnchorsBy = Literal["grid", "rank"]
"""``grid``: `anchor_grid`; ``rank``: the highest TokenRank in each cell (`diffseg.chains.anchors_by_rank`)."""

NOT_FINITE = "aggregated: holds NaN or infinite values"


class NoProposals(ValueError):
    """Every proposal was lost: in float16, no map was close to any other."""


def anchor_grid(side: int, anchors: int, grid: Grid = "official") -> Tensor:
    """Anchor points: the locations whose attention maps start the merging.

    Args:
        side: side S of the aggregated tensor.
        anchors: M, anchors along one side, 1..S.
        grid: ``official`` (the authors' code): ``start + i*step`` with ``step = (S-1) // (M-1)``, centred; 1, 5, ...,
            61 at S = 64, M = 16. If S-1 is far from a multiple of M-1, it covers only the middle. ``even``:
            ``floor((i + 0.5) * S / M)``, which covers the picture at every S and M.

    Returns:
        ``(M*M, 2)`` int64, (row, column) in 0..S-1, row-major.

    Raises:
        ValueError: anchors outside 1..S, or an unknown grid.

    >>> anchor_grid(8, 2, "even").tolist()
    [[2, 2], [2, 6], [6, 2], [6, 6]]
    >>> anchor_grid(64, 16)[:3, 1].tolist()
    [1, 5, 9]
    """
    if not 1 <= anchors <= side:
        raise ValueError(f"anchors: must be 1..{side}, the side of the attention, got {anchors}")
    check(grid=(grid, Grid))
    if grid == "even":
        line = nearest_cells(side, anchors)
    else:
        step = (side - 1) // (anchors - 1) if anchors > 1 else 0
        line = (side - 1 - step * (anchors - 1)) // 2 + step * torch.arange(anchors, device="cpu")
    return torch.cartesian_prod(line, line).view(-1, 2)


def anchor_rows(side: int, anchors: int, grid: Grid) -> Tensor:
    """Row numbers of the anchors in the tensor, ``(M*M,)`` int64 on the CPU; see `anchor_grid`."""
    rows, columns = anchor_grid(side, anchors, grid).unbind(dim=1)
    return rows * side + columns


@float32_products()
def merge_anchors(aggregated: Tensor, close: Tensor, precision: Precision) -> Tensor:
    """First iteration: each anchor becomes the mean of all maps close to it; none disappears (paper, Eq. 4).

    Takes ``(S*S, S*S)``, and ``(M*M, S*S)`` bool from `closer_than`; ``float64`` sums in float64, the other precisions
    in float32. Returns ``(M*M, S*S)`` float64. An anchor to which nothing is close (float16 only) is a row of NaN, as
    in the authors' code: nothing can match it later.
    """
    dtype = torch.float64 if precision == "float64" else torch.float32
    sums = close.to(dtype) @ aggregated.to(dtype)
    return sums.double() / close.sum(dim=1, keepdim=True)


@float32_products()
def merge_proposals(proposals: Tensor, tau: float, rule: Rule = "official") -> Tensor:
    """A later iteration: visits the proposals in order, and merges each with the close ones (paper, Algorithm 1).

    Args:
        proposals: ``(K, S*S)`` float64, which become ``(K', S*S)`` with 1 <= K' <= K.
        tau: threshold, > 0.
        rule: ``official`` averages all close proposals, matched or not; ``paper`` ("without replacement") averages only
            the unmatched ones.

    Raises:
        ValueError: a proposal holds NaN or infinite values.
    """
    rounded = proposals.float()
    divergence = symmetric_kl(rounded, rounded).cpu()  # the iteration's one transfer from a GPU
    close = closer_than(tau, divergence, proposals, torch.arange(len(proposals))).numpy()
    if not close.diagonal().all():  # the divergence of anything finite to itself is 0
        raise ValueError(NOT_FINITE)
    free = np.ones(len(proposals), dtype=bool)
    groups = []
    for index in range(len(proposals)):
        if free[index]:
            groups.append(close[index] & free if rule == "paper" else close[index])
            free &= ~close[index]
    members = torch.from_numpy(np.stack(groups)).to(proposals)
    return (members @ proposals) / members.sum(dim=1, keepdim=True)


class Merger:
    """Merges one picture's attention, ``(S*S, S*S)``, under many settings; computes their shared steps once.

    It keeps the logarithm of the tensor for each precision, and the divergences, ``(M*M, S*S)``, of the last
    `KEPT_DIVERGENCES` sets of anchors. If the tensor's device has no float64, it works on a copy on the CPU. Raises
    ValueError if the tensor has another shape.
    """

    def __init__(self, aggregated: Tensor) -> None:
        self.aggregated, self.side = aggregated.to(float64_device(aggregated.device)), grid_side(aggregated)
        self._logarithms: dict[Precision, Logarithms] = {}
        self._divergences: dict[tuple[Precision, tuple[int, ...]], Tensor] = {}
        self._ranked: dict[int, Tensor] = {}

    def ranked(self, anchors: int) -> Tensor:
        """`anchors_by_rank` of the tensor."""
        if anchors not in self._ranked:
            self._ranked[anchors] = anchors_by_rank(self.aggregated, anchors)
        return self._ranked[anchors]

    @torch.no_grad()
    def divergence(self, anchors: Tensor, precision: Precision = "float32") -> Tensor:
        """Divergence ``(M*M, S*S)``, in nats, of the anchors' maps to all maps, for the first iteration.

        Args:
            anchors: ``(M*M,)`` int64 row numbers, on the CPU.
            precision: ``float16`` rounds maps and logarithms as the authors' code does. A map with an entry below about
                3e-8 is at distance NaN from all maps, itself included. Products are summed in float32, because the
                order of half-precision sums depends on the platform. ``float64`` gives float64, the others float32.
        """
        key = (precision, tuple(anchors.tolist()))
        if key not in self._divergences:
            if precision not in self._logarithms:
                self._logarithms[precision] = Logarithms(self.aggregated, precision)
            if len(self._divergences) == KEPT_DIVERGENCES:
                del self._divergences[next(iter(self._divergences))]  # the oldest
            on_device = anchors.to(self.aggregated.device, non_blocking=True)
            self._divergences[key] = self._logarithms[precision].divergence(on_device)
        return self._divergences[key]

    @torch.no_grad()
    @float32_products()
    def proposals(
        self, taus: Sequence[float], anchors: Tensor, rule: Rule = "official", precision: Precision = "float32"
    ) -> Tensor:
        """Runs all iterations of merging: ``(K, S*S)`` float64 proposals, K >= 1.

        Args:
            taus: threshold of each iteration, > 0.
            anchors: ``(M*M,)`` int64 row numbers, on the CPU.
            rule: see `merge_proposals`.
            precision: see `divergence`.

        Raises:
            ValueError: the tensor holds NaN or infinite values.
            NoProposals: float16 lost every proposal.
        """
        aggregated, divergence = self.aggregated, self.divergence(anchors, precision)
        decide_ties = precision == "float32"  # float64 needs no second look; float16 follows the authors' code
        close = closer_than(taus[0], divergence, aggregated, anchors) if decide_ties else divergence < taus[0]
        proposals = merge_anchors(aggregated, close, precision)
        # Each check waits for a GPU, so only two cases check here: float16, which loses maps, and a single iteration.
        # Later iterations find NaN themselves.
        if (precision == "float16" or len(taus) == 1) and not bool(aggregated.sum().isfinite()):
            raise ValueError(NOT_FINITE)
        if precision == "float16":
            proposals = proposals[~proposals.isnan().any(dim=1)]
            if not len(proposals):
                raise NoProposals("every attention map has entries that underflow in float16: use precision float32")
        for tau in taus[1:]:
            proposals = merge_proposals(proposals, tau, rule)
        return proposals
