"""`AttentionMaps`, the output of every backbone: the attention of one picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isqrt
from types import MappingProxyType

import torch
from torch import Tensor

# Softmax and mean run in float32 or half precision, so row sums are rounded. A larger error has another cause.
ROW_SUM_TOLERANCE = 1e-2


class AttentionError(ValueError):
    """The attention is invalid: a wrong shape, negative values, NaN, or rows that do not sum to 1."""


def check_sides(maps: Mapping[int, Tensor], layers: Mapping[int, int]) -> None:
    """Checks shapes, dtypes and sides, without reading the values of the maps.

    Args:
        maps: side -> ``(side*side, side*side)`` floating point.
        layers: side -> number of layers, >= 1, for the same sides.

    Raises:
        AttentionError: there are no maps, a map does not fit its side, a side does not divide the finest, or the
            layers belong to other sides.
    """
    if not maps:
        raise AttentionError("maps: there are none")
    finest = max(maps)
    for side, attention in maps.items():
        if side < 1 or finest % side:
            raise AttentionError(f"maps: side {side} does not divide the finest side, {finest}")
        if tuple(attention.shape) != (side * side, side * side) or not attention.is_floating_point():
            raise AttentionError(
                f"maps: side {side} needs a floating point tensor of shape {(side * side, side * side)}, "
                f"got {tuple(attention.shape)} {attention.dtype}"
            )
    if set(layers) != set(maps) or min(layers.values()) < 1:
        raise AttentionError(f"layers: must give at least 1 for each of the sides {sorted(maps)}, got {dict(layers)}")


def check_features(features: Tensor) -> None:
    """Raises AttentionError unless the features are finite and of a square grid."""
    if features.ndim != 2 or isqrt(len(features)) ** 2 != len(features) or not bool(features.sum().isfinite()):
        raise AttentionError(f"features: must be finite and of shape (n*n, C), got {tuple(features.shape)}")


def _rows_sum_to_one(attention: Tensor) -> Tensor:
    """A tensor of one bool: True if all values are >= 0 and all rows sum to 1. NaN fails both comparisons."""
    sums = attention.sum(dim=1, dtype=torch.float32)
    return (attention.amin() >= 0) & ((sums - 1).abs().amax() <= ROW_SUM_TOLERANCE)


@dataclass(frozen=True)
class AttentionMaps:
    """Self-attention of one picture at one or several resolutions, heads and layers averaged.

    Attributes:
        maps: side -> attention of shape ``(side*side, side*side)``, floating point, values >= 0. Row ``i*side + j``
            is the attention map of the location in row ``i`` and column ``j``, flattened row-major; it sums to 1
            (paper, Eq. 1, after the mean over heads and over the layers of that side).
        layers: side -> number of layers averaged in that side's map (>= 1). Default: 1 each.
        provenance: origin of the maps (model, time step, layers, dtype), for records and messages.
        features: ``(n*n, C)`` float32, one layer's features of each location, row-major like the maps. The backbone
            chooses the layer, and with it the side n. None: the backbone has no features.

    Raises:
        AttentionError: see `check_sides`; a map holds NaN or negative values, or its rows do not sum to 1; the
            features are not finite, or their grid is not square.

    >>> AttentionMaps({1: torch.ones(1, 1), 2: torch.eye(4)}).sides
    (2, 1)
    """

    maps: Mapping[int, Tensor]
    layers: Mapping[int, int] = field(default_factory=dict)
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)
    features: Tensor | None = None

    def __post_init__(self) -> None:
        layers = dict(self.layers) or dict.fromkeys(self.maps, 1)
        check_sides(self.maps, layers)
        # One transfer for all sides, because each transfer makes the CPU wait for a GPU.
        good = torch.stack([_rows_sum_to_one(attention) for attention in self.maps.values()]).tolist()
        for side, is_good in zip(self.maps, good, strict=True):
            if not is_good:
                raise AttentionError(f"maps: rows of side {side} are negative, NaN or do not sum to 1")
        if self.features is not None:
            check_features(self.features)
        # Finest side first: weights and tables use this order.
        object.__setattr__(self, "maps", MappingProxyType({side: self.maps[side] for side in self.sides}))
        object.__setattr__(self, "layers", MappingProxyType({side: layers[side] for side in self.sides}))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of the maps, finest first."""
        return tuple(sorted(self.maps, reverse=True))
