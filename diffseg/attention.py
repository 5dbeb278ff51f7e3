"""The attention of one picture, as every backbone hands it over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

# Rows come out of a softmax and a mean in float32 or half precision; what is further off is not attention.
ROW_SUM_TOLERANCE = 1e-2


@dataclass(frozen=True)
class AttentionMaps:
    """Self-attention of one picture at one or several resolutions, heads and layers averaged.

    Attributes:
        maps: side -> attention of shape ``(side*side, side*side)``, floating point, values >= 0. Row ``i*side + j``
            is the attention map of the location in row ``i`` and column ``j``, flattened row-major; it sums to 1
            (paper, Eq. 1, after the mean over heads and over the layers of that side).
        layers: side -> number of layers averaged in that side's map (>= 1). Default: 1 each.
        provenance: what made the maps (model, time step, layers, dtype), for records and messages.

    Raises:
        ValueError: a map is not square, does not fit its side, holds NaN or negative values, or its rows do not sum
            to 1; a side's layer count is missing or below 1; the finest side is no multiple of a coarser one.
    """

    maps: Mapping[int, Tensor]
    layers: Mapping[int, int] = field(default_factory=dict)
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.maps:
            raise ValueError("AttentionMaps: no maps given")
        finest = max(self.maps)
        for side, attention in self.maps.items():
            if finest % side:
                raise ValueError(f"AttentionMaps: side {side} does not divide the finest side, {finest}")
            if tuple(attention.shape) != (side * side, side * side):
                raise ValueError(
                    f"AttentionMaps: the map of side {side} must have shape {(side * side, side * side)}, "
                    f"got {tuple(attention.shape)}"
                )
            if not attention.is_floating_point():
                raise ValueError(f"AttentionMaps: the map of side {side} must be floating point, got {attention.dtype}")
            # One reduction finds every defect: a NaN fails both comparisons.
            sums = attention.sum(dim=1, dtype=torch.float32)
            if not bool((attention.amin() >= 0) & ((sums - 1).abs().amax() <= ROW_SUM_TOLERANCE)):
                raise ValueError(
                    f"AttentionMaps: the map of side {side} has rows that are negative, NaN or do not sum to 1"
                )
        layers = dict(self.layers) or dict.fromkeys(self.maps, 1)
        if set(layers) != set(self.maps) or min(layers.values()) < 1:
            raise ValueError(
                f"AttentionMaps: layers must give at least 1 for each of the sides {self.sides}, got {layers}"
            )
        # Finest side first, whatever the order they came in: the order of weights and tables.
        object.__setattr__(self, "maps", MappingProxyType({side: self.maps[side] for side in self.sides}))
        object.__setattr__(self, "layers", MappingProxyType({side: layers[side] for side in self.sides}))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of the maps, finest first."""
        return tuple(sorted(self.maps, reverse=True))
