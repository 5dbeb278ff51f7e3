"""Aggregation, merging and masks, and how their cost grows with S and M."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffseg import aggregate, anchor_grid, dbscan, kmeans, segment
from diffseg.backbones.stable_diffusion import VAE_FACTOR
from experiments.bench.inputs import attention_maps
from experiments.bench.measuring import NO_CUDA, Line, Settings, absent, seconds

SIDE, ANCHORS, TAU, ITERATIONS = 64, 16, 1.1, 3
QUICK_SIDE = 32
GOALS = {"cpu": 0.35, "cuda": 0.004}
AUTHORS = "quoted: the authors' code takes 26 s on two CPU cores"


def plain(maps: Mapping[int, Tensor], tau: float, anchors: int, size: int) -> Tensor:
    """The protocol as one would write it down: two products an iteration, a tensor for each step."""
    finest = max(maps)
    total = torch.zeros(finest**2, finest**2, device=maps[finest].device)
    for side, attention in maps.items():
        grid = attention.view(side**2, 1, side, side)
        upsampled = F.interpolate(grid, (finest, finest), mode="bilinear", align_corners=False).view(side, side, -1)
        block = finest // side
        repeated = upsampled.repeat_interleave(block, dim=0).repeat_interleave(block, dim=1).view(finest**2, -1)
        total = total + side / sum(maps) * repeated / repeated.sum(dim=1, keepdim=True)
    maps_at_all = total / total.sum(dim=1, keepdim=True)
    rows, columns = anchor_grid(finest, anchors).to(total.device).T
    close = _divergence(maps_at_all[rows * finest + columns], maps_at_all) < tau
    proposals = (close.float() @ maps_at_all) / close.sum(dim=1, keepdim=True)
    for _ in range(ITERATIONS - 1):
        close, free, merged = _divergence(proposals, proposals) < tau, set(range(len(proposals))), []
        for index in range(len(proposals)):
            if index in free:
                merged.append(proposals[close[index]].mean(dim=0))
                free -= set(close[index].nonzero().flatten().tolist())
        proposals = torch.stack(merged)
    grid = proposals.view(1, -1, finest, finest)
    return F.interpolate(grid, (size, size), mode="bilinear", align_corners=False)[0].argmax(dim=0)


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    log_p, log_q = p.log(), q.log()
    own = (p * log_p).sum(dim=1)[:, None] + (q * log_q).sum(dim=1)
    return (own - p @ log_q.T - log_p @ q.T) / 2


def ours(maps: Mapping[int, Tensor], tau: float, anchors: int, size: int) -> Tensor:
    """The same with this package."""
    return segment(aggregate(maps), tau, anchors, ITERATIONS, size=size)


def lines(settings: Settings) -> list[Line]:
    """Aggregation, merging and masks of one picture on each device."""
    side = QUICK_SIDE if settings.quick else SIDE
    found = []
    for device, goal in GOALS.items():
        name = f"merging: aggregate, merge, masks, S = {side}, M = {ANCHORS}, float32, {device}"
        if absent(device):
            found.append(Line(name, goal=goal, note=NO_CUDA))
            continue
        maps = {each: attention.to(device) for each, attention in attention_maps(side).items()}
        aggregated = aggregate(maps)
        few = aggregated[: ANCHORS**2]
        size = VAE_FACTOR * side
        took = seconds(
            {
                "ours": partial(ours, maps, TAU, ANCHORS, size),
                "plain": partial(plain, maps, TAU, ANCHORS, size),
                # What no version can do without: both products of the divergence, and the one of the means.
                "floor": lambda: (few @ aggregated.T, few @ aggregated.T, few @ aggregated),  # noqa: B023
            },
            settings.repeats,
            device,
        )
        labels = ours(maps, TAU, ANCHORS, size)
        exact = segment(aggregated, TAU, ANCHORS, ITERATIONS, precision="float64", size=size)
        note = f"{float((labels == exact).float().mean()):.2%} of the pixels as in float64; {AUTHORS}"
        theirs = took["plain"]
        found.append(Line(name, "s", took["ours"], theirs, "plain products", goal, floor=took["floor"], note=note))
    return found


def scaling(settings: Settings) -> list[Line]:
    """Cost over S and M on the CPU, with exponents fitted to the logarithms."""
    sides, anchors = ((16, 24, 32), (4, 8)) if settings.quick else ((32, 64, 96, 128), (8, 16, 32, 64))
    repeats = 1
    found: list[Line] = []
    merged: dict[tuple[int, int], float] = {}
    alone: dict[str, dict[int, float]] = {"aggregate": {}, "K-means": {}, "DBSCAN": {}}
    for side in sides:
        maps, size = attention_maps(side), VAE_FACTOR * side
        aggregated = aggregate(maps)
        radius = float(torch.pdist(aggregated[:: max(1, len(aggregated) // 200)]).quantile(0.1))
        calls = {
            "aggregate": partial(aggregate, maps),
            "K-means": partial(kmeans, aggregated, 6, size=size),
            "DBSCAN": partial(dbscan, aggregated, radius, 5, size=size),
        }
        per_side = [each for each in anchors if each <= side]
        calls |= {
            str(each): partial(segment, aggregated, TAU, each, ITERATIONS, grid="even", size=size) for each in per_side
        }
        took = seconds(calls, repeats, warm_up=side == sides[0])  # the largest takes minutes
        for name, values in alone.items():
            values[side] = took[name]
            found.append(Line(f"scaling: {name}, S = {side}", "s", took[name]))
        merged |= {(side, each): took[str(each)] for each in per_side}
        found += [Line(f"scaling: merge, masks, S = {side}, M = {each}", "s", merged[side, each]) for each in per_side]
    for name, values in alone.items():
        (power,) = exponents(np.array([[side] for side in values]), np.array(list(values.values())))
        found.append(Line(f"scaling: {name}", "exponent of S", power))
    of_side, of_anchors = exponents(np.array(list(merged)), np.array(list(merged.values())))
    return [
        *found,
        Line("scaling: merge, masks", "exponent of S", of_side),
        Line("scaling: merge, masks, too", "exponent of M", of_anchors),
    ]


def exponents(sizes: np.ndarray, times: np.ndarray) -> list[float]:
    """Powers of a product of powers fitted by least squares: ``(n, p)`` sizes and ``(n,)`` times to p exponents."""
    logs = np.column_stack((np.log(sizes), np.ones(len(sizes))))
    return [float(value) for value in np.linalg.lstsq(logs, np.log(times), rcond=None)[0][:-1]]
