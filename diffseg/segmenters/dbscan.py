"""DBSCAN over the attention maps, a baseline of the paper (Section 4.1).

`density_labels` follows scikit-learn's definition and order in torch, several times faster and on any device: matrix
products find the neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from diffseg.isolation import isolated
from diffseg.limits import Count, Positive
from diffseg.masks import (
    Size,
    Upsample,
    UpsampleSetting,
    block_numbers,
    cluster_means,
    grid_side,
    height_width,
    to_pixels,
)
from diffseg.precision import float32_products, float64_device
from diffseg.segmenters.base import Refinable, Scene

Noise = Literal["own", "nearest"]
NoiseSetting = Annotated[
    Noise, Field(description="points outside all clusters: own (one more segment), nearest (join the nearest cluster)")
]

ROWS = 256  # rows of products computed at a time on a CPU; a GPU takes more rows, for fewer launches
ALIGNMENT = 64  # columns start at a multiple of it: products of odd widths were measured a quarter slower
SAMPLE = 256  # points from which the principal axis is estimated
POWER_ITERATIONS = 3

# Squared distances this close to eps^2, relative to the points' squared norms, are decided in float64. The error of the
# float32 ones was 2e-6 at most, so the window holds every pair that rounding could move across.
NEAR_TIE = 1e-5
PAIRS_AT_ONCE = 256  # pairs decided in float64 at a time; limits the memory if there are many ties


@torch.no_grad()
@isolated
def dbscan(
    aggregated: Tensor,
    eps: float,
    min_samples: int,
    noise: Noise = "own",
    size: Size = 512,
    upsample: Upsample = "soft",
) -> Tensor:
    """DBSCAN (Ester et al., 1996; Euclidean) over the attention maps: a baseline of the paper (Section 4.1).

    Args:
        aggregated: ``(S*S, S*S)`` floating point; each row is a point.
        eps: radius of a neighbourhood, > 0, in the units of the attention maps.
        min_samples: neighbours, itself included, that make a core point, >= 1.
        noise: ``own``: all points outside clusters become one segment, with the last label. ``nearest``: each joins the
            cluster with the nearest mean map.
        size: side P of the label map in pixels, or (height, width).
        upsample: as for `kmeans`.

    Returns:
        ``(P, P)``, or (height, width), int64 labels 0..K-1 on the device of ``aggregated``. A picture that is all noise
        is one segment.

    Raises:
        ValueError: ``aggregated`` has another shape or dtype, or an argument is out of range.

    >>> upper, lower = [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]
    >>> dbscan(torch.tensor([upper, upper, lower, lower]), eps=0.1, min_samples=2, size=4).tolist()
    [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    """
    scene = Scene(size=height_width(size), aggregated=aggregated)
    return DBSCAN(eps, min_samples, noise, upsample)(scene)


@dataclass(frozen=True)
class DBSCAN(Refinable):
    """DBSCAN (Ester et al., 1996) over the S*S attention maps (paper, Section 4.1; its values stand in an appendix)."""

    tuned_key = "dbscan"
    open = ("eps", "min_samples")

    eps: Annotated[Positive | None, Field(description="radius of a neighbourhood; null: the backbone's value")] = None
    min_samples: Annotated[
        Count | None, Field(description="neighbours, itself included, of a core point; null: the backbone's value")
    ] = None
    noise: NoiseSetting = "own"
    upsample: UpsampleSetting = "soft"

    def prepare(self, scene: Scene) -> Tensor:
        assert self.eps is not None  # resolved
        assert self.min_samples is not None
        grid_side(scene.aggregated)
        points = scene.aggregated.float()
        return settle_noise(points, density_labels(points, self.eps, self.min_samples), self.noise)

    def finish(self, prepared: Tensor, scene: Scene) -> Tensor:
        return to_pixels(scene.aggregated, prepared, scene.size, self.upsample)


def settle_noise(points: Tensor, labels: Tensor, noise: Noise) -> Tensor:
    """Replaces label -1 (noise) as ``noise`` of `dbscan` says: ``(n,)`` integers on the CPU become int64 >= 0.

    The ``points`` are ``(n, d)`` floating point.
    """
    labels = labels.long()
    stray = labels == -1
    clusters = int(labels.max()) + 1
    if noise == "own" or not clusters:
        return labels.masked_fill(stray, clusters)
    points = points.to(float64_device(points.device))
    settled, strays = ((chosen.nonzero().flatten()).to(points.device) for chosen in (~stray, stray))
    means = cluster_means(points[settled], labels[~stray])
    nearest = torch.cdist(points[strays].double(), means.double()).argmin(dim=1)
    return labels.masked_scatter(stray, nearest.cpu())


@torch.no_grad()
@float32_products()
def density_labels(points: Tensor, eps: float, min_samples: int) -> Tensor:
    """Density-based clusters (Ester et al., 1996), with the labels of scikit-learn's ``DBSCAN``, numbering included.

    Takes ``(n, d)`` float32, on any device; ``eps`` and ``min_samples`` are those of `dbscan`. Returns ``(n,)`` int64
    on the CPU. Clusters are numbered in the order of their first core points. A point that is not a core point joins
    the first cluster that reaches it, or has label -1.
    """
    points = points.to(float64_device(points.device))
    along = points @ _direction(points)
    order = along.argsort()
    close = _neighbours(points[order], along[order], eps)
    # Runs on the CPU: each step handles a few rows, too few to pay for a kernel launch.
    return torch.from_numpy(_grow(close.cpu().numpy(), order.argsort().cpu().numpy(), min_samples))


def _direction(points: Tensor) -> Tensor:
    """Unit vector ``(d,)`` along which the points lie far apart: roughly their first principal axis.

    Every point has the same weight, however far from the mean, so that a few outliers cannot decide.
    """
    sample = points[:: 1 + len(points) // SAMPLE]
    sample = normalize(sample - sample.mean(dim=0), dim=1)
    direction = sample[0]
    for _ in range(POWER_ITERATIONS):
        direction = normalize(sample.T @ (sample @ direction), dim=0)
    return direction


def _neighbours(points: Tensor, along: Tensor, eps: float) -> Tensor:
    """Finds the pairs of points ``(n, d)`` float32 that are at most eps apart, ``(n, n)`` bool, as float64 would.

    The points are sorted by ``along``, ``(n,)``, their coordinates on one axis: those farther apart than eps on it are
    not neighbours.
    """
    norms = torch.linalg.vector_norm(points, dim=1).square()
    near = eps + NEAR_TIE * norms.max().sqrt()  # the margin exceeds the coordinates' rounding errors
    count = ROWS if points.device.type == "cpu" else max(ROWS, block_numbers(points.device) // len(points))
    first = (torch.searchsorted(along, along[::count] - near) // ALIGNMENT * ALIGNMENT).tolist()
    close = torch.zeros(len(points), len(points), dtype=torch.bool, device=points.device)
    for block, start in enumerate(range(0, len(points), count)):
        # Up to the diagonal: distances are symmetric.
        rows, columns = slice(start, start + count), slice(first[block], start + count)
        scale = norms[rows, None] + norms[columns]
        excess = torch.addmm(scale, points[rows], points[columns].T, alpha=-2).sub_(eps * eps)
        within = excess <= 0
        near_ties = (excess.abs_() <= scale.mul_(NEAR_TIE)).nonzero()
        for pairs in near_ties.split(PAIRS_AT_ONCE):
            row, column = pairs.unbind(dim=1)
            difference = points[rows][row].double() - points[columns][column].double()
            within[row, column] = difference.square().sum(dim=1) <= eps * eps
        close[rows, columns] = within
        close[columns, rows] = within.T
    return close


def _grow(close: NDArray[np.bool_], points: NDArray[np.int64], min_samples: int) -> NDArray[np.int64]:
    """Grows clusters breadth first, each from the first core point without a label: ``(n,)`` int64, each point's label.

    ``close`` is that of `_neighbours`; ``points`` has the row of each point in it.
    """
    core = close.sum(axis=1) >= min_samples
    packed = np.packbits(close, axis=1)  # an eighth of the memory to read
    labels = np.full(len(close), -1, np.int64)
    clusters = 0
    for first in points[core[points]]:
        if labels[first] >= 0:
            continue
        reached = np.array([first])
        while len(reached):
            labels[reached] = clusters
            seen = np.bitwise_or.reduce(packed[reached[core[reached]]], axis=0)
            reached = np.flatnonzero(np.unpackbits(seen, count=len(close)).view(bool) & (labels < 0))
        clusters += 1
    return labels[points]
