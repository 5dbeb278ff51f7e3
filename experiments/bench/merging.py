"""Times aggregation, merging and masks, and measures how their cost grows with S and M."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from diffseg import aggregate, anchor_grid, dbscan, kmeans, reference, segment
from diffseg.backbones.latent_diffusion import VAE_FACTOR
from experiments.bench.inputs import attention_maps
from experiments.bench.measuring import NO_CUDA, Line, Settings, absent, seconds

SIDE, ANCHORS, TAU, ITERATIONS = 64, 16, 1.1, 3
QUICK_SIDE = 32
GOALS = {"cpu": 0.35, "cuda": 0.004}
AUTHORS = "quoted: the authors' code takes 26 s on two CPU cores"


def plain(maps: Mapping[int, Tensor], tau: float, anchors: int, size: int) -> Tensor:
    """Algorithm 1 written plainly (`diffseg.reference`), with two matrix products per iteration."""
    aggregated, side = reference.aggregate(maps), max(maps)
    rows, columns = anchor_grid(side, anchors).to(aggregated.device).T
    proposals = reference.merge(aggregated, rows * side + columns, tau, ITERATIONS)
    return reference.masks(proposals, size)


def ours(maps: Mapping[int, Tensor], tau: float, anchors: int, size: int) -> Tensor:
    """Algorithm 1 with the fast code of this package."""
    return segment(aggregate(maps), tau, anchors, ITERATIONS, grid="official", size=size)


def lines(settings: Settings) -> list[Line]:
    """Times aggregation, merging and masks of one picture on each device."""
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
                # Every implementation needs these: two products for the divergence, one for the means.
                "floor": lambda: (few @ aggregated.T, few @ aggregated.T, few @ aggregated),  # noqa: B023
            },
            settings.repeats,
            device,
        )
        labels = ours(maps, TAU, ANCHORS, size)
        exact = segment(aggregated, TAU, ANCHORS, ITERATIONS, grid="official", precision="float64", size=size)
        note = f"{float((labels == exact).float().mean()):.2%} of the pixels as in float64; {AUTHORS}"
        theirs = took["plain"]
        found.append(Line(name, "s", took["ours"], theirs, "plain products", goal, floor=took["floor"], note=note))
    return found


def scaling(settings: Settings) -> list[Line]:
    """Times each step for several S and M on the CPU, and fits the exponents of the cost."""
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
        took = seconds(calls, repeats, warm_up=side == sides[0])  # a warm-up at the largest side would take minutes
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
    """Fits times ``(n,)`` to a product of powers of the sizes ``(n, p)`` by least squares; returns the p exponents."""
    logs = np.column_stack((np.log(sizes), np.ones(len(sizes))))
    return [float(value) for value in np.linalg.lstsq(logs, np.log(times), rcond=None)[0][:-1]]
