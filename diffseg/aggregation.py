"""Attention aggregation: maps of several resolutions become one tensor (paper, Section 3.2, Eq. 2 and 3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from diffseg.attention import AttentionMaps, check_sides
from diffseg.chains import two_bounces
from diffseg.choices import DEFAULT_SCHEME, DEFAULT_WEIGHTS, SINGLE_SIDE, Scheme, Weights
from diffseg.isolation import isolated
from diffseg.limits import Checked, NotNegative, check
from diffseg.masks import block_numbers


def side_weights(weights: str | Sequence[float], sides: Sequence[int]) -> dict[int, float]:
    """Turns the setting R of the configuration into weights per side, not normalised.

    Args:
        weights: ``"proportional"`` (the weight is the side), ``"finest"``, ``"half"``, ``"quarter"`` or
            ``"eighth"`` (that side alone), or one number >= 0 for each side, finest side first.
        sides: sides of the maps, finest first.

    Raises:
        ValueError: an unknown name, a side that the maps lack, more or fewer numbers than sides, or numbers that are
            negative or all zero.
    """
    if isinstance(weights, str):
        if weights == "proportional":
            return {side: float(side) for side in sides}
        if weights not in SINGLE_SIDE:
            raise ValueError(f"weights: must be proportional, {', '.join(SINGLE_SIDE)} or a list, got {weights!r}")
        chosen, rest = divmod(max(sides), SINGLE_SIDE[weights])
        if rest or chosen not in sides:
            raise ValueError(f"weights: {weights!r} is not a side of this backbone; its sides are {list(sides)}")
        return {side: float(side == chosen) for side in sides}
    if len(weights) != len(sides):
        raise ValueError(f"weights: need one number for each of the sides {list(sides)}, got {list(weights)}")
    _check_weights(weights)
    return dict(zip(sides, map(float, weights), strict=True))


def _check_weights(weights: Collection[float]) -> None:
    if not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise ValueError(f"weights: must be finite, >= 0 and not all zero, got {list(weights)}")


# Largest number that float16 rounds to zero: half of its smallest number. The tie rounds to even, which is zero.
FLOAT16_ZERO = 2.0**-25

Bounces = Literal[1, 2]
"""Steps of the attention's random walk, see `diffseg.chains`."""


@dataclass(frozen=True)
class Aggregation(Checked):
    """Attention aggregation (paper, Section 3.2, Eq. 2 and 3): turns the maps of one picture into one tensor.

    `side_weights` reads the weights R; scheme and bounces are those of `aggregate`.
    """

    weights: Annotated[
        str | tuple[NotNegative, ...],
        Field(description="R: proportional; a single side: finest, half, ...; or a list, finest first: [1,0,0,0]"),
    ] = DEFAULT_WEIGHTS
    scheme: Annotated[
        Scheme, Field(description="official (the authors' code), paper (Eq. 2 and 3 as written), paper_normalised")
    ] = DEFAULT_SCHEME
    bounces: Annotated[
        Bounces, Field(description="2: the tensor times itself, a walk of two steps; thresholds tuned for 1 do not fit")
    ] = 1

    def __call__(self, maps: AttentionMaps) -> Tensor:
        """Aggregates the maps of one picture: ``(S*S, S*S)`` float32, see `aggregate`.

        Raises ValueError if the weights do not fit the sides of the maps (`side_weights`), or the scheme is unknown.
        """
        return aggregate(maps, side_weights(self.weights, maps.sides), self.scheme, bounces=self.bounces)


@torch.no_grad()
@isolated
def aggregate(
    maps: Mapping[int, Tensor] | AttentionMaps,
    weights: Weights | Mapping[int, float] = DEFAULT_WEIGHTS,
    scheme: Scheme = DEFAULT_SCHEME,
    layers: Mapping[int, int] | None = None,
    bounces: Bounces = 1,
) -> Tensor:
    """Aggregates attention maps into one tensor at the finest side (paper, Eq. 2 and 3).

    Each map is upsampled bilinearly (half-pixel centres) in its last two axes, repeated in its first two, weighted and
    summed. Upsampling multiplies the sum of a map by ``(S/side)**2``. The schemes correct for that differently:

    - ``official`` (the authors' code): every upsampled map is normalised; ``weights`` apply to sides.
    - ``paper`` (Eq. 2 and 3 as written): ``weights`` apply to layers, so the weight of a side is multiplied by its
      number of layers; only the sum is normalised.
    - ``paper_normalised``: as ``paper``, but every upsampled map is normalised.

    Args:
        maps: side -> ``(side*side, side*side)`` floating point, heads and layers averaged, rows sum to 1. The finest
            side, S, is a multiple of the others. Or the `AttentionMaps` of a picture, which know their ``layers``.
        weights: side -> weight R >= 0; 0 leaves a side out. Weights are scaled to sum 1. Or a name:
            ``"proportional"`` (R = side), ``"finest"``, ``"half"``, ``"quarter"`` or ``"eighth"`` (that side alone).
        scheme: see above.
        layers: side -> number of layers averaged in its map; None means one each. Only the paper's schemes use it.
        bounces: 2: the tensor is multiplied by itself (`diffseg.chains.two_bounces`).

    Returns:
        ``(S*S, S*S)`` float32 on the device of the maps; rows sum to 1. Row ``i*S + j`` belongs to row i, column j.

    Raises:
        ValueError: the maps or layers are invalid (`diffseg.attention.check_sides`); weights are negative, all zero,
            or for other sides than those of the maps; the scheme or the number of bounces is unknown.
        TypeError: ``maps`` is neither a mapping nor `AttentionMaps`.

    >>> maps = {2: torch.eye(4), 1: torch.ones(1, 1)}  # each place attends to itself; the picture as a whole to itself
    >>> aggregate(maps, weights={2: 1, 1: 1})[0]
    tensor([0.6250, 0.1250, 0.1250, 0.1250])
    """
    if isinstance(maps, AttentionMaps):
        layers, maps = layers or maps.layers, maps.maps
    check(bounces=(bounces, Bounces))
    share = _shares(maps, weights, scheme, layers)
    finest = max(maps)
    # Coarsest first: each sum is added to the next side that it divides, so that little work is done at full size.
    sums: dict[int, Tensor] = {}
    for side in sorted(set(share) - {finest}):
        total = _scaled(maps[side], side, finest, share[side], scheme)
        for coarse in [other for other in sums if side % other == 0]:
            _add_repeated(total, sums.pop(coarse), side // coarse, 0, side)
        sums[side] = total
    tensor = _finest(maps[finest] if finest in share else None, finest, share.get(finest, 0), sums, scheme)
    return two_bounces(tensor) if bounces == 2 else tensor


def _finest(attention: Tensor | None, side: int, share: float, sums: Mapping[int, Tensor], scheme: Scheme) -> Tensor:
    """Scales the finest map, if it has a share, and adds the coarser sums to it, a few rows of the picture at a time.

    At full size memory is the bottleneck, so the map is read once and the result is written once.
    """
    device = next(iter(sums.values())).device if attention is None else attention.device
    aggregated = torch.empty(side**2, side**2, dtype=torch.float32, device=device)
    # Rows of the picture in a block: they fit the block size, and align with the coarser sides' rows.
    blocks, limit = [side // coarse for coarse in sums], max(1, block_numbers(device) // side**3)
    step = max(
        rows
        for rows in range(1, min(limit, side) + 1)
        if side % rows == 0 and all(rows % block == 0 or block % rows == 0 for block in blocks)
    )
    for start in range(0, side, step):
        rows = slice(start * side, (start + step) * side)
        part = aggregated[rows]
        if attention is None:
            part.zero_()
        else:
            maps = attention[rows].float()
            torch.mul(maps, _factor(maps, share, scheme), out=part)
        for coarse, total in sums.items():
            _add_repeated(part, total, side // coarse, start, step)
        if scheme == "paper":
            part.div_(part.sum(dim=1, keepdim=True))
    # In the other schemes each map is normalised and the shares sum to 1, so rows already sum to 1.
    return aggregated


def _add_repeated(part: Tensor, total: Tensor, block: int, start: int, count: int) -> None:
    """Adds each row of a coarser sum to the rows of the ``block * block`` finer locations that it covers.

    ``part``, ``(count * side, S*S)``, holds rows ``start`` to ``start + count`` of the finer picture, ``total`` the
    ``(coarse*coarse, S*S)`` sum. Both numbers are multiples of ``block``, or ``count`` divides it.
    """
    columns = part.shape[1]
    coarse = len(part) // count // block
    height = max(1, count // block)  # rows of the coarser picture
    rows = total.view(coarse, coarse, columns)[start // block :][:height]
    part.view(height, -1, coarse, block, columns).add_(rows[:, None, :, None])


def _shares(
    maps: Mapping[int, Tensor],
    weights: Weights | Mapping[int, float],
    scheme: str,
    layers: Mapping[int, int] | None,
) -> dict[int, float]:
    """side -> factor of its upsampled map. The factors sum to 1; sides of weight 0 are left out."""
    layers = check_sides(maps, layers)
    check(scheme=(scheme, Scheme))
    if isinstance(weights, str):
        weights = side_weights(weights, list(maps))
    if set(weights) != set(maps):
        raise ValueError(f"weights: must name the sides of the maps, {sorted(maps)}, got {sorted(weights)}")
    _check_weights(weights.values())
    raw = {side: weights[side] * (1 if scheme == "official" else layers[side]) for side in maps}
    return {side: weight / sum(raw.values()) for side, weight in raw.items() if weight}


def _scaled(attention: Tensor, side: int, finest: int, share: float, scheme: Scheme) -> Tensor:
    """``(side*side, side*side)`` -> ``(side*side, S*S)`` float32, new: maps upsampled bilinearly, times share."""
    grid = attention.float().view(side * side, 1, side, side)
    maps = F.interpolate(grid, size=(finest, finest), mode="bilinear", align_corners=False).view(side * side, -1)
    return maps * _factor(maps, share, scheme)


def _factor(maps: Tensor, share: float, scheme: Scheme) -> Tensor | float:
    """Factor of ``(n, S*S)`` upsampled maps: the share, divided by each map's sum if the scheme normalises maps."""
    return share if scheme == "paper" else share / maps.sum(dim=1, keepdim=True)


def underflow_fraction(aggregated: Tensor) -> float:
    """Fraction of the entries, in [0, 1], that become zero in float16, in which the authors' code takes logarithms.

    Above zero, ``precision="float16"`` loses maps (see `diffseg.segment`).
    """
    return int((aggregated <= FLOAT16_ZERO).count_nonzero()) / aggregated.numel()
