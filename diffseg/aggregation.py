"""Attention aggregation: maps of several resolutions become one tensor (paper, Section 3.2, Eq. 2 and 3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from diffseg.attention import AttentionMaps, check_sides
from diffseg.isolation import isolated

Scheme = Literal["official", "paper", "paper_normalised"]

# One resolution alone (paper, Fig. 4), as a fraction of the finest side.
SINGLE_SIDE = {"finest": 1, "half": 2, "quarter": 4, "eighth": 8}


def side_weights(weights: str | Sequence[float], sides: Sequence[int]) -> dict[int, float]:
    """Turns the configuration's way of writing R into weights per side.

    Args:
        weights: ``"proportional"`` (a side weighs its own length), ``"finest"``, ``"half"``, ``"quarter"`` or
            ``"eighth"`` (that side alone), or one number >= 0 a side, finest side first.
        sides: sides of the maps, finest first.

    Returns:
        side -> weight, not normalised.

    Raises:
        ValueError: an unknown name, a side that the maps lack, not one number a side, or numbers that are negative or
            all zero.
    """
    if isinstance(weights, str):
        if weights == "proportional":
            return {side: float(side) for side in sides}
        if weights not in SINGLE_SIDE:
            raise ValueError(f"weights: must be proportional, {', '.join(SINGLE_SIDE)} or a list, got {weights!r}")
        chosen, rest = divmod(max(sides), SINGLE_SIDE[weights])
        if rest or chosen not in sides:
            raise ValueError(f"weights: {weights!r} is no side of this backbone, whose sides are {list(sides)}")
        return {side: float(side == chosen) for side in sides}
    if len(weights) != len(sides):
        raise ValueError(f"weights: need one number for each of the sides {list(sides)}, got {list(weights)}")
    _check_weights(weights)
    return dict(zip(sides, map(float, weights), strict=True))


def _check_weights(weights: Collection[float]) -> None:
    if not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise ValueError(f"weights: must be finite, >= 0 and not all zero, got {list(weights)}")


# The largest number that float16 rounds to zero: half its smallest, a tie, which goes to the even one.
FLOAT16_ZERO = 2.0**-25


@dataclass(frozen=True)
class Aggregation:
    """How the maps of one picture become one tensor, as the configuration knows it.

    Attributes:
        weights: R, as `side_weights` reads it.
        scheme: as for `aggregate`.
    """

    weights: str | tuple[float, ...] = "proportional"
    scheme: Scheme = "official"

    def __call__(self, maps: AttentionMaps) -> Tensor:
        """``(S*S, S*S)`` float32, see `aggregate`."""
        return aggregate(maps.maps, side_weights(self.weights, maps.sides), self.scheme, maps.layers)


@torch.no_grad()
@isolated
def aggregate(
    maps: Mapping[int, Tensor],
    weights: Literal["proportional"] | Mapping[int, float] = "proportional",
    scheme: Scheme = "official",
    layers: Mapping[int, int] | None = None,
) -> Tensor:
    """Aggregates attention maps into one tensor at the finest side (paper, Eq. 2 and 3).

    Each map is upsampled bilinearly (half-pixel centres) in its last two axes, repeated in its first two, weighted and
    summed. Upsampling multiplies the mass of a map by ``(S/side)**2``; the schemes differ in what they do about it:

    - ``official`` (the authors' code): every upsampled map is normalised; ``weights`` are those of a side.
    - ``paper`` (Eq. 2 and 3 as written): ``weights`` are those of a layer, so that a side counts as often as it has
      layers; normalised once, after the sum.
    - ``paper_normalised``: as ``paper``, with every upsampled map normalised.

    Args:
        maps: side -> ``(side*side, side*side)`` floating point, heads and layers averaged, rows sum to 1. The finest
            side, S, is a multiple of the others.
        weights: side -> weight R >= 0, zero to leave a side out, renormalised to sum 1. ``"proportional"``: the side.
        scheme: see above.
        layers: side -> number of layers averaged in its map; None means one each. Only the paper's schemes use it.

    Returns:
        ``(S*S, S*S)`` float32 on the device of the maps; rows sum to 1. Row ``i*S + j`` belongs to row i, column j.

    Raises:
        ValueError: maps or layers that do not fit (`diffseg.attention.check_sides`), weights that are negative, all
            zero or of other sides, an unknown scheme.

    >>> maps = {2: torch.eye(4), 1: torch.ones(1, 1)}  # each place attends to itself; the picture as a whole to itself
    >>> aggregate(maps, weights={2: 1, 1: 1})[0]
    tensor([0.6250, 0.1250, 0.1250, 0.1250])
    """
    share = _shares(maps, weights, scheme, layers)
    finest = max(maps)
    # Coarsest first: what is summed so far goes into the next side that it divides, so that little is done at full
    # size. Memory is what costs here: one (S*S, S*S) tensor is made, and everything is added to it in place.
    sums: dict[int, Tensor] = {}
    for side in sorted({*share, finest}):
        total = _scaled(maps[side], side, finest, share[side], scheme) if side in share else None
        for coarse in [each for each in sums if side % each == 0]:
            block = side // coarse
            blocks = sums.pop(coarse).view(coarse, 1, coarse, 1, -1)
            if total is None:
                total = blocks.expand(-1, block, -1, block, -1).reshape(side * side, -1)
            else:
                total.view(coarse, block, coarse, block, -1).add_(blocks)
        assert total is not None  # the finest side alone can have no share, and then others have one
        sums[side] = total
    aggregated = sums[finest]
    # Of normalised maps whose shares sum to 1 the rows do, too.
    return aggregated.div_(aggregated.sum(dim=1, keepdim=True)) if scheme == "paper" else aggregated


def _shares(
    maps: Mapping[int, Tensor],
    weights: Literal["proportional"] | Mapping[int, float],
    scheme: str,
    layers: Mapping[int, int] | None,
) -> dict[int, float]:
    """side -> what its (upsampled) map is multiplied with; sums to 1; sides of weight 0 are left out."""
    layers = layers or dict.fromkeys(maps, 1)
    check_sides(maps, layers)
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme: must be one of {', '.join(get_args(Scheme))}, got {scheme!r}")
    if isinstance(weights, str):
        if weights != "proportional":
            raise ValueError(f"weights: must be 'proportional' or a mapping from side to weight, got {weights!r}")
        weights = {side: float(side) for side in maps}
    if set(weights) != set(maps):
        raise ValueError(f"weights: must name the sides of the maps, {sorted(maps)}, got {sorted(weights)}")
    _check_weights(weights.values())
    raw = {side: weights[side] * (1 if scheme == "official" else layers[side]) for side in maps}
    return {side: weight / sum(raw.values()) for side, weight in raw.items() if weight}


def _scaled(attention: Tensor, side: int, finest: int, share: float, scheme: Scheme) -> Tensor:
    """``(side*side, side*side)`` -> ``(side*side, S*S)`` float32, new: maps upsampled bilinearly, times share."""
    maps = attention.float()
    if side < finest:
        grid = maps.view(side * side, 1, side, side)
        maps = F.interpolate(grid, size=(finest, finest), mode="bilinear", align_corners=False).view(side * side, -1)
    return maps * (share if scheme == "paper" else share / maps.sum(dim=1, keepdim=True))


def underflow_fraction(aggregated: Tensor) -> float:
    """Fraction of the entries that become zero in float16, where the authors' code takes its logarithms.

    Args:
        aggregated: ``(S*S, S*S)`` floating point.

    Returns:
        In [0, 1]. Above zero, ``precision="float16"`` loses maps (see `diffseg.merging.segment`).
    """
    return int((aggregated <= FLOAT16_ZERO).count_nonzero()) / aggregated.numel()
