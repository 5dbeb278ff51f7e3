"""Partitions and cuts of small graphs."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor


def same_parts(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a[:, None] == a, b[:, None] == b)


def naive_cut(affinity: Tensor, side: list[bool]) -> float:
    """Shi and Malik, Eq. 2, node by node."""
    cut, volume = 0.0, [0.0, 0.0]
    for i, j in product(range(len(side)), repeat=2):
        volume[side[i]] += float(affinity[i, j])
        cut += float(affinity[i, j]) * (side[i] and not side[j])
    return cut / volume[0] + cut / volume[1]
