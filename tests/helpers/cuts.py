"""Partitions and cuts of small graphs, by hand."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor


def same_parts(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a[:, None] == a, b[:, None] == b)


def planted(sizes: tuple[int, ...], within: float = 1.0, between: float = 0.02, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Affinity of groups of nodes in random order, with noise, and the group of each node."""
    generator = torch.Generator().manual_seed(seed)
    groups = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    groups = groups[torch.randperm(len(groups), generator=generator)]
    noise = torch.rand(len(groups), len(groups), generator=generator)
    return torch.where(groups[:, None] == groups, within, between) * (noise + noise.T) / 2, groups


def naive_cut(affinity: Tensor, side: list[bool]) -> float:
    """Shi and Malik, Eq. 2: ``affinity`` between the sides, over the affinity of each side with all nodes."""
    inside = torch.tensor(side)
    cut = affinity[inside][:, ~inside].sum()
    return float(cut / affinity[inside].sum() + cut / affinity[~inside].sum())


def naive_linkage(distances: Tensor, tau: float) -> Tensor:
    """Joins the nearest two clusters while the mean distance of their members is at most ``tau``: average linkage."""
    clusters = [[index] for index in range(len(distances))]

    def mean(pair: tuple[list[int], list[int]]) -> float:
        return float(distances[pair[0]][:, pair[1]].double().mean())

    while len(clusters) > 1:
        nearest = min(combinations(clusters, 2), key=mean)
        if mean(nearest) > tau:
            break
        clusters = [cluster for cluster in clusters if cluster not in nearest] + [nearest[0] + nearest[1]]
    labels = torch.empty(len(distances), dtype=torch.int64)
    for number, members in enumerate(clusters):
        labels[members] = number
    return labels
