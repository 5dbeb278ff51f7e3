"""Iterative attention merging: the segmenter of the paper (Section 3.2, Eq. 4 and 5, Algorithm 1).

`diffseg.reference` is the same algorithm in its shortest form: read that first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from diffseg.chains import anchors_by_rank
from diffseg.divergence import Logarithms, Precision, closer_than, symmetric_kl
from diffseg.isolation import isolated
from diffseg.limits import Count, Positive, check
from diffseg.masks import cluster_means, grid_side, labels_from_proposals, nearest_cells
from diffseg.precision import float32_products, float64_device

# Sets of anchors whose divergences a `Merger` keeps; at S = 64 and M = 64 each takes 67 MB.
KEPT_DIVERGENCES = 8

OFFICIAL_GRID_SIDE = 64
"""The only side S for which the authors' anchor grid is published (512 pixels)."""

Grid = Literal["official", "even"]
Rule = Literal["official", "paper"]
AnchorsBy = Literal["grid", "rank"]
"""``grid``: `anchor_grid`; ``rank``: the highest TokenRank in each cell (`diffseg.chains.anchors_by_rank`)."""


class NoProposals(ValueError):
    """Every proposal was lost: in float16, no map was close to any other."""


def default_grid(side: int) -> Grid:
    """The default grid: ``official`` at `OFFICIAL_GRID_SIDE`, else ``even``."""
    return "official" if side == OFFICIAL_GRID_SIDE else "even"


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


@float32_products()
def merge_anchors(aggregated: Tensor, close: Tensor, precision: Precision) -> Tensor:
    """First iteration: each anchor becomes the mean of all maps close to it; none disappears (paper, Eq. 4).

    Args:
        aggregated: ``(S*S, S*S)``.
        close: ``(M*M, S*S)`` bool, from `closer_than`.
        precision: ``float64`` sums in float64, the others in float32.

    Returns:
        ``(M*M, S*S)`` float64. An anchor to which nothing is close (float16 only) is a row of NaN, as in the authors'
        code: nothing can match it later.
    """
    dtype = torch.float64 if precision == "float64" else torch.float32
    sums = close.to(dtype) @ aggregated.to(dtype)
    return sums.double() / close.sum(dim=1, keepdim=True)


@float32_products()
def merge_proposals(proposals: Tensor, tau: float, rule: Rule = "official") -> Tensor:
    """A later iteration: visits the proposals in order, and merges each with the close ones (paper, Algorithm 1).

    Args:
        proposals: ``(K, S*S)`` float64.
        tau: threshold, > 0.
        rule: ``official`` averages all close proposals, matched or not; ``paper`` ("without replacement") averages only
            the unmatched ones.

    Returns:
        ``(K', S*S)`` float64 with 1 <= K' <= K.

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
        if not free[index]:
            continue
        groups.append(close[index] & free if rule == "paper" else close[index])
        free &= ~close[index]
    members = torch.from_numpy(np.stack(groups)).to(proposals)
    return (members @ proposals) / members.sum(dim=1, keepdim=True)


def _without_nan(proposals: Tensor) -> Tensor:
    """Removes the proposals that `merge_anchors` lost to float16. Raises `NoProposals` if none is left."""
    kept = proposals[~proposals.isnan().any(dim=1)]
    if not len(kept):
        raise NoProposals("every attention map has entries that underflow in float16: use precision float32")
    return kept


NOT_FINITE = "aggregated: holds NaN or infinite values"


class Merger:
    """Merges one picture's attention under many settings, and computes their shared steps once.

    It keeps the logarithm of the tensor for each precision, and the divergences, ``(M*M, S*S)``, of the last
    `KEPT_DIVERGENCES` sets of anchors.

    Attributes:
        aggregated: ``(S*S, S*S)`` floating point, rows sum to 1. A copy on the CPU if its device has no float64.

    Raises:
        ValueError: the tensor has another shape. (NaN and infinite values raise it in `proposals`.)
    """

    def __init__(self, aggregated: Tensor) -> None:
        self.aggregated, self.side = aggregated.to(float64_device(aggregated.device)), grid_side(aggregated)
        self._logarithms: dict[Precision, Logarithms] = {}
        self._divergences: dict[tuple[Precision, tuple[int, ...]], Tensor] = {}
        self._ranked: dict[int, Tensor] = {}

    @torch.no_grad()
    def divergence(self, anchors: Tensor, precision: Precision = "float32") -> Tensor:
        """Divergence of every anchor's attention map to every attention map, for the first iteration.

        Args:
            anchors: ``(M*M,)`` int64 row numbers, on the CPU.
            precision: ``float16`` rounds maps and logarithms as the authors' code does. A map with an entry below about
                3e-8 is at distance NaN from all maps, itself included. Products are summed in float32, because the
                order of half-precision sums depends on the platform.

        Returns:
            ``(M*M, S*S)`` nats, float64 for that precision, else float32. It is cached: do not write to it.
        """
        key = (precision, tuple(anchors.tolist()))
        if key not in self._divergences:
            if precision not in self._logarithms:
                self._logarithms[precision] = Logarithms.of(self.aggregated, precision)
            if len(self._divergences) == KEPT_DIVERGENCES:
                del self._divergences[next(iter(self._divergences))]  # the oldest
            on_device = anchors.to(self.aggregated.device, non_blocking=True)
            self._divergences[key] = self._logarithms[precision].divergence(on_device)
        return self._divergences[key]

    def points(self, anchors: int, grid: Grid, anchors_by: AnchorsBy = "grid") -> Tensor:
        """Row numbers of the anchors, ``(M*M,)`` int64 on the CPU. Raises ValueError as `anchor_grid`."""
        check(anchors_by=(anchors_by, AnchorsBy))
        if anchors_by == "grid":
            rows, columns = anchor_grid(self.side, anchors, grid).unbind(dim=1)
            return rows * self.side + columns
        if anchors not in self._ranked:
            self._ranked[anchors] = anchors_by_rank(self.aggregated, anchors)
        return self._ranked[anchors]

    @torch.no_grad()
    @float32_products()
    def proposals(
        self,
        tau: float | Sequence[float],
        anchors: int,
        iterations: int,
        rule: Rule,
        precision: Precision,
        grid: Grid,
        anchors_by: AnchorsBy = "grid",
    ) -> Tensor:
        """Runs all iterations of merging; arguments as in `segment`.

        Returns:
            ``(K, S*S)`` float64 proposals, K >= 1.

        Raises:
            ValueError: an argument is out of range, or the tensor holds NaN or infinite values.
            NoProposals: float16 lost every proposal.
        """
        taus = thresholds(tau, iterations)
        check(rule=(rule, Rule), precision=(precision, Precision))
        aggregated = self.aggregated
        points = self.points(anchors, grid, anchors_by)
        divergence = self.divergence(points, precision)
        decide_ties = precision == "float32"  # float64 needs no second look; float16 follows the authors' code
        close = closer_than(taus[0], divergence, aggregated, points) if decide_ties else divergence < taus[0]
        proposals = merge_anchors(aggregated, close, precision)
        # Each check waits for a GPU, so only two cases check here: float16, which loses maps, and a single iteration.
        # Later iterations find NaN themselves.
        if (precision == "float16" or len(taus) == 1) and not bool(aggregated.sum().isfinite()):
            raise ValueError(NOT_FINITE)
        if precision == "float16":
            proposals = _without_nan(proposals)
        for threshold in taus[1:]:
            proposals = merge_proposals(proposals, threshold, rule)
        return proposals


def thresholds(tau: float | Sequence[float], iterations: int) -> tuple[float, ...]:
    """Threshold of each iteration; a single tau holds for all.

    Raises:
        ValueError: ``iterations`` is below 1, a threshold is not positive and finite, or a list has another length.
    """
    check(iterations=(iterations, Count), tau=(tau, Positive | tuple[Positive, ...]))
    taus = (float(tau),) * iterations if isinstance(tau, int | float) else tuple(map(float, tau))
    if len(taus) != iterations:
        raise ValueError(f"tau: need one value, or one for each of the {iterations} iterations, got {list(taus)}")
    return taus


@torch.no_grad()
@isolated
def segment(
    aggregated: Tensor,
    tau: float | Sequence[float],
    anchors: int = 16,
    iterations: int = 3,
    rule: Rule = "official",
    precision: Precision = "float32",
    grid: Grid | None = None,
    size: int = 512,
    refine: Literal["none", "kmeans"] = "none",
    anchors_by: AnchorsBy = "grid",
) -> Tensor:
    """DiffSeg: segments a picture by merging its attention maps (paper, Section 3.2).

    Args:
        aggregated: ``(S*S, S*S)`` floating point, rows sum to 1, from `diffseg.aggregate`.
        tau: threshold of the symmetric divergence in nats, > 0: one for all iterations, or one for each. A good value
            depends on the backbone: 1.1 for Stable Diffusion (paper, Table 3), about 0.3 for DINOv2 ViT-S/14.
        anchors: M, anchors along one side, 1..S (`anchor_grid`).
        iterations: N >= 1, the first (from anchors to proposals) included.
        rule: how the later iterations average (`merge_proposals`).
        precision: precision of the first iteration's divergence (`Merger.divergence`); later iterations use float64.
        grid: layout of the anchors (`anchor_grid`); None: ``official`` at S = 64, else ``even``.
        size: side P of the label map in pixels.
        refine: ``kmeans`` runs K-means on the attention maps, started from the proposals, and uses its cluster means
            as proposals (an option of the authors' code, off in the benchmark). Pictures are refined in
            `diffseg.Model.segment`.
        anchors_by: ``rank`` takes the location that a walk along the attention visits most in each cell of an even
            grid, and does not use ``grid``.

    Returns:
        ``(size, size)`` int64 labels 0..K-1 on the device of ``aggregated``. A proposal that wins no pixel leaves its
        label unused.

    Raises:
        ValueError: an argument is out of range, or ``aggregated`` holds NaN or infinite values.
        NoProposals: float16 lost every proposal.

    At S = 2, the upper and the lower half of the picture each attend only to themselves:

    >>> upper, lower = [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]
    >>> segment(torch.tensor([upper, upper, lower, lower]), tau=0.3, anchors=2, size=4).tolist()
    [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    """
    check(refine=(refine, Literal["none", "kmeans"]))
    merger = Merger(aggregated)
    grid = grid or default_grid(merger.side)
    proposals = merger.proposals(tau, anchors, iterations, rule, precision, grid, anchors_by)
    if refine == "kmeans":
        proposals = kmeans_from(merger.aggregated, proposals)
    return labels_from_proposals(proposals, size).to(aggregated.device)


@torch.no_grad()
def kmeans_from(aggregated: Tensor, proposals: Tensor) -> Tensor:
    """Runs scikit-learn's K-means once, started from the proposals.

    Args:
        aggregated: ``(S*S, S*S)`` floating point, whose rows are clustered.
        proposals: ``(K, S*S)`` floating point, the first centres.

    Returns:
        ``(K', S*S)`` float64, the means of the clusters, K' <= K: clusters stay empty if fewer maps differ.
    """
    maps = aggregated.to(float64_device(aggregated.device), torch.float64)
    from sklearn.cluster import KMeans  # takes a second to import, and few runs refine

    fitted = KMeans(n_clusters=len(proposals), init=proposals.cpu().numpy(), n_init=1).fit(maps.cpu().numpy())
    # Some clusters may be empty; the others are renumbered without gaps.
    used, labels = np.unique(fitted.labels_, return_inverse=True)
    return cluster_means(maps, torch.from_numpy(labels), len(used))
