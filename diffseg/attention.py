"""`AttentionMaps`, the output of every backbone: the attention of one picture, in memory or in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isqrt
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from diffseg.files.attention import FEATURES, MAP_NAME, AttentionError, Header, PictureInfo, read_header
from diffseg.files.paths import expanded
from diffseg.files.writing import replacing
from diffseg.texts import on_one_line

# Softmax and mean run in float32 or half precision, so row sums are rounded. A larger error has another cause.
ROW_SUM_TOLERANCE = 1e-2

FileDtype = Literal["float32", "float16"]
"""Number format of maps and features in a file. ``float32`` is exact; ``float16`` takes half the space."""


def check_sides(maps: Mapping[int, Tensor], layers: Mapping[int, int] | None) -> Mapping[int, int]:
    """Checks shapes, dtypes and sides, without reading the values of the maps. Returns the layers; default: 1 each.

    Raises:
        TypeError: the maps are no mapping.
        AttentionError: there are no maps, a map does not fit its side, a side does not divide the finest, or the
            layers belong to other sides.
    """
    if not isinstance(maps, Mapping):
        raise TypeError(f"maps: must map sides to tensors, or be AttentionMaps, got {type(maps).__name__}")
    if not maps:
        raise AttentionError("maps: there are none")
    finest = max(maps)
    for side, attention in maps.items():
        if not isinstance(attention, Tensor):
            raise AttentionError(f"maps: side {side} needs a torch tensor, got {type(attention).__name__}")
        if side < 1 or finest % side:
            raise AttentionError(f"maps: side {side} does not divide the finest side, {finest}")
        if tuple(attention.shape) != (side * side, side * side) or not attention.is_floating_point():
            raise AttentionError(
                f"maps: side {side} needs a floating point tensor of shape {(side * side, side * side)}, "
                f"got {tuple(attention.shape)} {attention.dtype}"
            )
    layers = layers or dict.fromkeys(maps, 1)
    if set(layers) != set(maps) or min(layers.values()) < 1:
        raise AttentionError(f"layers: must give at least 1 for each of the sides {sorted(maps)}, got {dict(layers)}")
    return layers


def _rows_sum_to_one(attention: Tensor) -> Tensor:
    """A tensor of one bool: True if all values are >= 0 and all rows sum to 1. NaN fails both comparisons."""
    sums = attention.sum(dim=1, dtype=torch.float32)
    return (attention.amin() >= 0) & ((sums - 1).abs().amax() <= ROW_SUM_TOLERANCE)


@dataclass(frozen=True, eq=False, repr=False)
class AttentionMaps:
    """Self-attention of one picture at one or several resolutions, heads and layers averaged.

    Attributes:
        maps: side -> attention of shape ``(side*side, side*side)``, floating point, values >= 0. Row ``i*side + j``
            is the attention map of the location in row ``i`` and column ``j``, flattened row-major; it sums to 1
            (paper, Eq. 1, after the mean over heads and over the layers of that side).
        layers: side -> number of layers averaged in that side's map (>= 1). Default: 1 each.
        provenance: origin of the maps, values that JSON can hold; ``attention.md`` names those of `Model.attend`.
        features: ``(n*n, C)`` float32, one layer's features of each location, row-major like the maps. The backbone
            chooses the layer, and with it the side n. None: the backbone has no features.
        picture: the picture that the maps cover; None: unknown.

    Raises:
        AttentionError: see `check_sides`; a map holds NaN or negative values, or its rows do not sum to 1; the
            features are not finite, or their grid is not square.

    >>> maps = AttentionMaps({1: torch.ones(1, 1), 2: torch.eye(4)}, picture=PictureInfo("cat", 480, 640))
    >>> maps
    AttentionMaps(cat, 640 x 480 pixels, sides 2, 1)
    >>> maps.at(0.9, 0.1)[2]
    tensor([[0., 1.],
            [0., 0.]])
    """

    maps: Mapping[int, Tensor]
    layers: Mapping[int, int] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    features: Tensor | None = None
    picture: PictureInfo | None = None

    def __post_init__(self) -> None:
        layers = check_sides(self.maps, self.layers)
        # One transfer for all sides, because each transfer makes the CPU wait for a GPU.
        good = torch.stack([_rows_sum_to_one(attention) for attention in self.maps.values()]).tolist()
        for side, is_good in zip(self.maps, good, strict=True):
            if not is_good:
                raise AttentionError(f"maps: rows of side {side} are negative, NaN or do not sum to 1")
        if (given := self.features) is not None and (
            given.ndim != 2 or isqrt(len(given)) ** 2 != len(given) or not bool(given.sum().isfinite())
        ):
            raise AttentionError(f"features: must be finite and of shape (n*n, C), got {tuple(given.shape)}")
        # Finest side first: weights and tables use this order.
        object.__setattr__(self, "maps", MappingProxyType({side: self.maps[side] for side in self.sides}))
        object.__setattr__(self, "layers", MappingProxyType({side: layers[side] for side in self.sides}))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    def __repr__(self) -> str:
        parts = [f"sides {', '.join(map(str, self.sides))}"]
        if self.picture:
            parts.insert(0, f"{self.picture.id}, {self.picture.width} x {self.picture.height} pixels")
        if self.features is not None:
            parts.append(f"features {tuple(self.features.shape)}")
        if name := self.provenance.get("name"):
            parts.append(f"from {name}")
        return f"AttentionMaps({', '.join(parts)})"

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of the maps, finest first."""
        return tuple(sorted(self.maps, reverse=True))

    def at(self, x: float, y: float) -> dict[int, Tensor]:
        """Attention of one place, as a small picture for each side.

        Args:
            x: from 0, the picture's left edge, to 1, its right edge; for the pixel of column c, ``(c + 0.5) / width``.
            y: from 0, its upper edge, to 1, its lower edge.

        Returns:
            side -> ``(side, side)``, rows of the picture first: how much the cell that contains the place attends to
            each cell. The values are >= 0 and sum to 1.

        Raises:
            ValueError: ``x`` or ``y`` is outside [0, 1].
        """
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"x, y: must be in [0, 1], fractions of the width and height, got {x:g}, {y:g}")
        cells = {side: min(int(y * side), side - 1) * side + min(int(x * side), side - 1) for side in self.sides}
        return {side: self.maps[side][cell].view(side, side) for side, cell in cells.items()}

    def save(self, path: str | Path, dtype: FileDtype = "float32") -> None:
        """Writes a safetensors file, which `load` and ``backbone=saved`` read; ``attention.md`` is its format.

        Args:
            path: replaced in one step; its folder is made if missing.
            dtype: ``float32``, or ``float16`` for half the size.

        Raises:
            AttentionError: a value does not fit float16.
            ValueError: ``dtype`` is unknown.
            OSError: the file cannot be written.
        """
        if dtype not in get_args(FileDtype):
            raise ValueError(f"dtype: must be {' or '.join(get_args(FileDtype))}, got {dtype!r}")
        tensors = {f"maps.{side}": attention for side, attention in self.maps.items()}
        if self.features is not None:
            tensors[FEATURES] = self.features
        tensors = {name: tensor.to("cpu", getattr(torch, dtype)).contiguous() for name, tensor in tensors.items()}
        if FEATURES in tensors and not bool(tensors[FEATURES].isfinite().all()):
            raise AttentionError("features: a value is too large for float16; save the attention as float32")
        path = expanded(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        header = Header(path, dtype, self.layers, self.provenance, self.picture)
        with replacing(path) as temporary:
            temporary.write_bytes(save(tensors, header.metadata()))

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> Self:
        """Reads a file that `save` or another program wrote.

        Args:
            path: the file; ``attention.md`` is its format.
            device: device of the tensors.

        Returns:
            Maps and features as float32.

        Raises:
            AttentionError: the file is missing, damaged or no file of attention, or its maps are invalid. One line.
        """
        path = expanded(path)
        header = read_header(path)
        try:
            tensors = load_file(path)
            # Copied: the file's tensors lie in mapped memory. Matrix products depend on the alignment of memory, and
            # here they must give what they give after the backbone's pass.
            tensors = {name: tensor.to(device, torch.float32, copy=True) for name, tensor in tensors.items()}
            maps = {int(name[5:]): tensor for name, tensor in tensors.items() if MAP_NAME.fullmatch(name)}
            return cls(maps, header.layers, header.provenance, tensors.get(FEATURES), header.picture)
        except (AttentionError, SafetensorError, OSError, RuntimeError) as error:
            raise AttentionError(f"{path}: {on_one_line(error)}") from None
