"""Symmetric Kullback-Leibler divergence between attention maps (paper, Eq. 5), decided in float64 near a threshold."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from diffseg.isolation import isolated
from diffseg.masks import row_blocks
from diffseg.precision import float32_products

Precision = Literal["float16", "float32", "float64"]

# log 0 counts as log FLOOR in both precisions, so that they agree; 0 log 0 is 0. FLOOR is the smallest normal float32.
FLOOR = torch.finfo(torch.float32).tiny

# Float32 divergences this close to the threshold are decided in float64. Their error was 1e-6 at most on the reference
# images (2e-7 rms), so the window holds every pair that rounding could move across, a few dozen of a million.
NEAR_TIE = 1e-5
PAIRS_AT_ONCE = 256  # pairs decided in float64 at a time; limits the memory for a picture full of ties


@isolated
@float32_products()
def symmetric_kl(p: Tensor, q: Tensor) -> Tensor:
    """Symmetric Kullback-Leibler divergence between all pairs, (KL(p||q) + KL(q||p)) / 2 (paper, Eq. 5).

    Two matrix products compute it. The logarithm of the mean map is first subtracted from all logarithms. The
    divergence depends only on differences of logarithms, so it stays the same; but smaller numbers cancel, so the
    rounding error shrinks.

    Args:
        p: ``(n, d)`` float32 or float64, rows >= 0 that sum to 1.
        q: ``(m, d)`` of the same dtype and device.

    Returns:
        ``(n, m)`` nats, >= 0, of the same dtype. Zeros are safe: 0 log 0 = 0, log 0 elsewhere is log 1.2e-38.

    Raises:
        ValueError: the dtypes differ, or are neither float32 nor float64; or the shapes do not fit.

    >>> symmetric_kl(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.5, 0.5], [0.9, 0.1]]))
    tensor([[0.0000, 0.4394]])
    """
    if p.dtype != q.dtype or p.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"p, q: must both be float32 or both float64, got {p.dtype} and {q.dtype}")
    if p.ndim != 2 or q.ndim != 2 or p.shape[1] != q.shape[1]:
        raise ValueError(f"p, q: must be of shapes (n, d) and (m, d), got {tuple(p.shape)} and {tuple(q.shape)}")
    common = _log(q.mean(dim=0))
    if p is q:  # half the work: the cross terms are each other's transpose
        log, self_term = _centred(p, common)
        cross = p @ log.T
        return (self_term[:, None] + self_term).sub_(cross).sub_(cross.T).div_(2).clamp_(min=0)
    return _divergence(p, *_centred(p, common), q, *_centred(q, common))


def _log(maps: Tensor) -> Tensor:
    return maps.clamp(min=FLOOR).log_()


def _centred(maps: Tensor, common: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of ``(n, d)`` maps minus ``common`` ``(d,)``, and the sum of p log p of each map, ``(n,)``."""
    log, self_term = torch.empty_like(maps), maps.new_empty(len(maps))
    # In blocks that fit the cache, since memory is the bottleneck.
    for rows in row_blocks(len(maps), maps.shape[1], maps.device):
        torch.clamp(maps[rows], min=FLOOR, out=log[rows]).log_().sub_(common)
        # Sums of d terms in float64: in float32 they alone would make the error ten times larger.
        self_term[rows] = (maps[rows] * log[rows]).sum(dim=1, dtype=torch.float64)
    return log, self_term


def _divergence(p: Tensor, log_p: Tensor, self_p: Tensor, q: Tensor, log_q: Tensor, self_q: Tensor) -> Tensor:
    """Symmetric divergence ``(n, m)`` of maps from their logarithms: (sum p log p + sum q log q - cross terms) / 2."""
    cross = (p @ log_q.T).addmm_(log_p, q.T)
    return (self_p[:, None] + self_q - cross).div_(2).clamp_(min=0)


class Logarithms:
    """Logarithms of all maps in one precision, computed once for all sets of anchors.

    Args:
        aggregated: ``(S*S, S*S)`` floating point, rows sum to 1.
        precision: ``float64`` computes in float64, the others in float32; ``float16`` first rounds maps and logarithms
            to half precision.
    """

    def __init__(self, aggregated: Tensor, precision: Precision) -> None:
        self._lost: Tensor | None = None  # maps at distance NaN from all maps
        if precision != "float16":
            self._maps = aggregated.to(torch.float64 if precision == "float64" else torch.float32)
            self._log, self._self = _centred(self._maps, _log(self._maps.mean(dim=0)))
            return
        rounded = aggregated.to(torch.float16)
        zero = rounded == 0
        self._maps, self._log = rounded.float(), rounded.log().float().masked_fill_(zero, 0)
        self._self = (self._maps * self._log).sum(dim=1, dtype=torch.float64).float()
        self._lost = zero.any(dim=1)

    @float32_products()
    def divergence(self, anchors: Tensor) -> Tensor:
        """Divergence ``(M*M, S*S)``, in nats, of the maps with the row numbers ``anchors`` to all maps."""
        of_anchors = self._maps[anchors], self._log[anchors], self._self[anchors]
        divergence = _divergence(*of_anchors, self._maps, self._log, self._self)
        if self._lost is not None:
            divergence.masked_fill_(self._lost[anchors, None] | self._lost, torch.nan)
        return divergence


def closer_than(tau: float, divergence: Tensor, maps: Tensor, anchors: Tensor) -> Tensor:
    """Compares divergences, ``(n, m)`` in nats, with tau > 0. Float32 divergences give the same answer as float64 ones.

    Entries close to tau are computed again in float64 from the ``maps`` ``(m, d)`` and the row numbers of the
    ``anchors`` ``(n,)``, on any device. Returns ``(n, m)`` bool on the device of the divergence, True where it is below
    tau.
    """
    close = divergence < tau
    near_ties = ((divergence - tau).abs_() < NEAR_TIE * max(1.0, tau)).nonzero()
    for pairs in near_ties.split(PAIRS_AT_ONCE):
        anchor, other = pairs.unbind(dim=1)
        p, q = (maps[rows.to(maps.device)].double() for rows in (anchors.to(anchor.device)[anchor], other))
        exact = ((p - q) * (_log(p) - _log(q))).sum(dim=1)
        close[anchor, other] = (exact < 2 * tau).to(close.device)
    return close
