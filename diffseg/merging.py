"""Iterative attention merging: the segmenter of the paper (Section 3.2, Eq. 4 and 5, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Literal, get_args

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from diffseg.aggregation import underflow_fraction
from diffseg.masks import cluster_means, grid_side, labels_from_proposals, row_blocks

Grid = Literal["official", "even"]
Rule = Literal["official", "paper"]
Precision = Literal["float16", "float32", "float64"]

# 0 log 0 = 0, and log 0 = log FLOOR elsewhere: the smallest normal float32, in both precisions, so that they agree.
FLOOR = torch.finfo(torch.float32).tiny

# Float32 divergences this close to the threshold are decided in float64. Their error was 1e-6 at most on the reference
# images (2e-7 rms), so the window holds every pair that rounding could move across, a few dozen of a million.
NEAR_TIE = 1e-5
PAIRS_AT_ONCE = 256  # of the pairs decided again, so that a picture full of ties needs no more memory


class NoProposals(ValueError):
    """Every proposal was lost: in float16, no map was close to any other."""


def anchor_grid(side: int, anchors: int, grid: Grid = "official") -> Tensor:
    """Anchor points: the locations whose attention maps start the merging.

    Args:
        side: side S of the aggregated tensor.
        anchors: M, anchors along one side, 1..S.
        grid: ``official`` (the authors' code): ``start + i*step`` with ``step = (S-1) // (M-1)``, centred; 1, 5, ...,
            61 at S = 64, M = 16. Where S-1 is far from a multiple of M-1 it covers only the middle. ``even``:
            ``floor((i + 0.5) * S / M)`` covers every side.

    Returns:
        ``(M*M, 2)`` int64, (row, column) in 0..S-1, row-major.

    Raises:
        ValueError: anchors outside 1..S, or an unknown grid.
    """
    if not 1 <= anchors <= side:
        raise ValueError(f"anchors: must be 1..{side}, the side of the attention, got {anchors}")
    if grid not in get_args(Grid):
        raise ValueError(f"grid: must be one of {', '.join(get_args(Grid))}, got {grid!r}")
    index = torch.arange(anchors)
    if grid == "even":
        line = (2 * index + 1) * side // (2 * anchors)
    else:
        step = (side - 1) // (anchors - 1) if anchors > 1 else 0
        line = (side - 1 - step * (anchors - 1)) // 2 + index * step
    return torch.cartesian_prod(line, line).view(-1, 2)


def symmetric_kl(p: Tensor, q: Tensor) -> Tensor:
    """Symmetric Kullback-Leibler divergence between all pairs, (KL(p||q) + KL(q||p)) / 2 (paper, Eq. 5).

    Through two matrix products. One map, the logarithm of the mean map, is subtracted from both logarithms first: only
    their difference counts, so the divergence stays, while what cancels, and with it the rounding error, shrinks.

    Args:
        p: ``(n, d)`` float32 or float64, rows >= 0 that sum to 1.
        q: ``(m, d)`` of the same dtype and device.

    Returns:
        ``(n, m)`` nats, >= 0, of the same dtype. Zeros are safe: 0 log 0 = 0, log 0 elsewhere is log 1.2e-38.

    Raises:
        ValueError: another dtype, or two of them.
    """
    if p.dtype != q.dtype or p.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"p, q: must both be float32 or both float64, got {p.dtype} and {q.dtype}")
    common = _log(q.mean(dim=0))
    if p is q:  # half the work: the cross terms are each other's transpose
        log = _log(p).sub_(common)
        own, half = _own(p, log), p @ log.T
        return (own[:, None] + own).sub_(half).sub_(half.T).div_(2).clamp_(min=0)
    log_p, log_q = _log(p) - common, _log(q) - common
    return _divergence(p, log_p, _own(p, log_p), q, log_q, _own(q, log_q))


def _log(maps: Tensor) -> Tensor:
    return maps.clamp(min=FLOOR).log_()


def _own(maps: Tensor, log: Tensor) -> Tensor:
    own = maps.new_empty(len(maps))
    # In blocks, since the product of all maps would be another tensor of their size.
    for rows in row_blocks(len(maps), maps.shape[1], maps.device):
        # Sums of d terms in float64: in float32 they alone would make the error ten times larger.
        own[rows] = (maps[rows] * log[rows]).sum(dim=1, dtype=torch.float64)
    return own


def _divergence(p: Tensor, log_p: Tensor, own_p: Tensor, q: Tensor, log_q: Tensor, own_q: Tensor) -> Tensor:
    """Symmetric divergence ``(n, m)`` of maps from their logarithms: (sum p log p + sum q log q - cross terms) / 2."""
    cross = (p @ log_q.T).addmm_(log_p, q.T)
    return (own_p[:, None] + own_q - cross).div_(2).clamp_(min=0)


@dataclass(frozen=True)
class _Logarithms:
    """What the divergences of any anchors need of all maps, in one precision.

    Attributes:
        maps, log: ``(S*S, S*S)``, the maps and their centred logarithms.
        lost: rows at distance NaN from all (float16 only).
    """

    maps: Tensor
    log: Tensor
    lost: Tensor | None = None

    @classmethod
    def of(cls, aggregated: Tensor, precision: Precision) -> _Logarithms:
        if precision != "float16":
            maps = aggregated.to(torch.float64 if precision == "float64" else torch.float32)
            return cls(maps, _log(maps).sub_(_log(maps.mean(dim=0))))
        half = aggregated.to(torch.float16)
        return cls(half.float(), half.log().float().masked_fill_(half == 0, 0), (half == 0).any(dim=1))

    @cached_property
    def own(self) -> Tensor:
        """``(S*S,)``, sum of p log p of each map."""
        return _own(self.maps, self.log)

    def divergence(self, anchors: Tensor) -> Tensor:
        """``(M*M, S*S)`` from the rows ``anchors`` to all."""
        divergence = _divergence(
            self.maps[anchors], self.log[anchors], self.own[anchors], self.maps, self.log, self.own
        )
        if self.lost is not None:
            divergence[self.lost[anchors]] = torch.nan
            divergence[:, self.lost] = torch.nan
        return divergence


def closer_than(tau: float, divergence: Tensor, maps: Tensor, anchors: Tensor) -> Tensor:
    """Which maps are closer than tau to which anchor, from float32 divergences as from float64 ones (without TF32).

    Args:
        tau: threshold in nats, > 0.
        divergence: ``(n, m)`` float32, of which what is too close to tau is decided again.
        maps: ``(m, d)`` from which it was computed.
        anchors: ``(n,)`` int64 row numbers in ``maps``.

    Returns:
        ``(n, m)`` bool.
    """
    close = divergence < tau
    near_ties = ((divergence - tau).abs_() < NEAR_TIE * max(1.0, tau)).nonzero()
    for pairs in near_ties.split(PAIRS_AT_ONCE):
        anchor, other = pairs.unbind(dim=1)
        p, q = maps[anchors[anchor]].double(), maps[other].double()
        close[anchor, other] = ((p - q) * (_log(p) - _log(q))).sum(dim=1) < 2 * tau
    return close


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


def merge_proposals(proposals: Tensor, tau: float, rule: Rule = "official") -> Tensor:
    """A later iteration: walks the proposals in order and merges those closer than tau (paper, Algorithm 1).

    Args:
        proposals: ``(K, S*S)`` float64.
        tau: threshold, > 0.
        rule: ``official`` averages every close proposal, those already matched included; ``paper`` ("without
            replacement") only the unmatched ones.

    Returns:
        ``(K', S*S)`` float64 with 1 <= K' <= K; a NaN proposal is dropped.

    Raises:
        NoProposals: all are NaN.
    """
    proposals = _without_nan(proposals)
    rounded = proposals.float()
    everyone = torch.arange(len(proposals), device=proposals.device)
    close = closer_than(tau, symmetric_kl(rounded, rounded), proposals, everyone).cpu().numpy()
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
    """Leaves out the proposals that `merge_anchors` lost to float16.

    Raises:
        NoProposals: it lost them all.
    """
    kept = proposals[~proposals.isnan().any(dim=1)]
    if not len(kept):
        raise NoProposals("every attention map has entries that underflow in float16: use precision float32")
    return kept


class Merger:
    """Merges one picture's attention, under as many settings as one likes: what they share is computed once.

    Kept are the logarithm of the tensor, one a precision, and the divergences, one ``(M*M, S*S)`` a set of anchors.

    Attributes:
        aggregated: ``(S*S, S*S)`` floating point, rows sum to 1.

    Raises:
        ValueError: it has another shape, or holds NaN or infinite values.
    """

    def __init__(self, aggregated: Tensor) -> None:
        self.aggregated, self.side = aggregated, grid_side(aggregated)
        if not bool(aggregated.sum().isfinite()):
            raise ValueError("aggregated: holds NaN or infinite values")
        self._logarithms: dict[Precision, _Logarithms] = {}
        self._divergences: dict[tuple[Precision, tuple[int, ...]], Tensor] = {}

    @cached_property
    def underflow(self) -> float:
        """`diffseg.aggregation.underflow_fraction` of the tensor."""
        return underflow_fraction(self.aggregated)

    @torch.no_grad()
    def divergence(self, anchors: Tensor, precision: Precision = "float32") -> Tensor:
        """Divergence of every anchor's attention map to every attention map, for the first iteration.

        Args:
            anchors: ``(M*M,)`` int64 row numbers.
            precision: ``float16`` rounds maps and logarithms to half precision as the authors' code does, and a map
                with an entry that underflows (below about 3e-8) is at distance NaN from all, itself included; products
                are summed in float32, since how half-precision sums round depends on a platform's order of summation.

        Returns:
            ``(M*M, S*S)`` nats, float64 for that precision, else float32. Not to be written to.
        """
        key = (precision, tuple(anchors.tolist()))
        if key not in self._divergences:
            if precision not in self._logarithms:
                self._logarithms[precision] = _Logarithms.of(self.aggregated, precision)
            self._divergences[key] = self._logarithms[precision].divergence(anchors)
        return self._divergences[key]

    @torch.no_grad()
    def proposals(
        self,
        tau: float | Sequence[float],
        anchors: int,
        iterations: int,
        rule: Rule,
        precision: Precision,
        grid: Grid,
    ) -> Tensor:
        """All iterations of merging; arguments as in `segment`.

        Returns:
            ``(K, S*S)`` float64 proposals, K >= 1.

        Raises:
            ValueError: an argument out of range.
            NoProposals: none was left.
        """
        taus = thresholds(tau, iterations)
        for name, value, allowed in (("rule", rule, Rule), ("precision", precision, Precision)):
            if value not in get_args(allowed):
                raise ValueError(f"{name}: must be one of {', '.join(get_args(allowed))}, got {value!r}")
        aggregated = self.aggregated
        rows, columns = anchor_grid(self.side, anchors, grid).to(aggregated.device).unbind(dim=1)
        points = rows * self.side + columns
        divergence = self.divergence(points, precision)
        refine = precision == "float32"  # of the others, float64 needs no second look, and float16 is as published
        close = closer_than(taus[0], divergence, aggregated, points) if refine else divergence < taus[0]
        proposals = merge_anchors(aggregated, close, precision)
        for threshold in taus[1:]:
            proposals = merge_proposals(proposals, threshold, rule)
        return _without_nan(proposals)


def thresholds(tau: float | Sequence[float], iterations: int) -> tuple[float, ...]:
    """One threshold an iteration.

    Raises:
        ValueError: iterations below 1, a threshold that is not positive and finite, or a list of another length.
    """
    if iterations < 1:
        raise ValueError(f"iterations: must be at least 1, got {iterations}")
    taus = (float(tau),) * iterations if isinstance(tau, int | float) else tuple(map(float, tau))
    if len(taus) != iterations:
        raise ValueError(f"tau: need one value, or one for each of the {iterations} iterations, got {list(taus)}")
    if not all(isfinite(value) and value > 0 for value in taus):
        raise ValueError(f"tau: must be a finite number above 0, got {tau}")
    return taus


@torch.no_grad()
def segment(
    aggregated: Tensor,
    tau: float | Sequence[float] = 1.1,
    anchors: int = 16,
    iterations: int = 3,
    rule: Rule = "official",
    precision: Precision = "float32",
    grid: Grid = "official",
    size: int = 512,
    refine: bool = False,
) -> Tensor:
    """DiffSeg: segments a picture by merging its attention maps (paper, Section 3.2).

    Args:
        aggregated: ``(S*S, S*S)`` floating point, rows sum to 1, from `diffseg.aggregate`.
        tau: threshold of the symmetric divergence in nats, > 0: one for all iterations, or one for each.
        anchors: M, anchors along one side, 1..S (`anchor_grid`).
        iterations: N >= 1, the first (from anchors to proposals) included.
        rule: how the later iterations average (`merge_proposals`).
        precision: of the first iteration's divergence (`anchor_divergence`); the later ones are float64.
        grid: where the anchors stand (`anchor_grid`).
        size: side P of the label map in pixels.
        refine: K-means on the attention maps started from the proposals, which then become cluster means (an option of
            the authors' code, off in the benchmark).

    Returns:
        ``(size, size)`` int64 labels 0..K-1 on the device of ``aggregated``; one that wins nowhere is unused.

    Raises:
        ValueError: an argument out of range; `NoProposals` when float16 loses them all.
    """
    proposals = Merger(aggregated).proposals(tau, anchors, iterations, rule, precision, grid)
    return labels_from_proposals(refined(aggregated, proposals) if refine else proposals, size)


@torch.no_grad()
def refined(aggregated: Tensor, proposals: Tensor) -> Tensor:
    """One run of scikit-learn's K-means from the proposals; returns the means of its clusters, ``(K, S*S)`` float64."""
    maps = aggregated.double()
    fitted = KMeans(n_clusters=len(proposals), init=proposals.cpu().numpy(), n_init=1).fit(maps.cpu().numpy())
    # Where fewer maps differ than there are proposals, clusters stay empty; the others close ranks.
    used, labels = np.unique(fitted.labels_, return_inverse=True)
    return cluster_means(maps, torch.from_numpy(labels).to(aggregated.device), len(used))
