"""Partitions and cuts of small graphs."""

from __future__ import annotations

import torch
from torch import Tensor


def same_parts(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a[:, None] == a, b[:, None] == b)


def naive_cut(affinity: Tensor, side: list[bool]) -> float:
    """Shi and Malik, Eq. 2: ``affinity`` between the sides, over the affinity of each side with all nodes."""
    inside = torch.tensor(side)
    cut = affinity[inside][:, ~inside].sum()
    return float(cut / affinity[inside].sum() + cut / affinity[~inside].sum())
