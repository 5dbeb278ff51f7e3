"""DBSCAN as scikit-learn defines it. Matrix products find the neighbours."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize, pad

from diffseg.masks import block_numbers
from diffseg.precision import float32_products, float64_device

ROWS = 256  # rows of products computed at a time on a CPU; a GPU takes more rows, for fewer launches
ALIGNMENT = 64  # columns start at a multiple of it: products of odd widths were measured a quarter slower
SAMPLE = 256  # points from which the principal axis is estimated
POWER_ITERATIONS = 3

# Squared distances this close to eps^2, relative to the points' squared norms, are decided in float64. The error of the
# float32 ones was 2e-6 at most, so the window holds every pair that rounding could move across.
NEAR_TIE = 1e-5
BYTE = 8  # bits
PAIRS_AT_ONCE = 256  # pairs decided in float64 at a time; limits the memory if there are many ties


@torch.no_grad()
@float32_products()
def cluster(points: Tensor, eps: float, min_samples: int) -> Tensor:
    """Density-based clusters (Ester et al., 1996), with the labels of scikit-learn's ``DBSCAN``, numbering included.

    Args:
        points: ``(n, d)`` float32, on any device.
        eps: radius of a neighbourhood, > 0; a point at exactly this distance is a neighbour.
        min_samples: neighbours, itself included, that make a core point, >= 1.

    Returns:
        ``(n,)`` int64 on the CPU. Clusters are numbered in the order of their first core points. A point that is not a
        core point joins the first cluster that reaches it, or has label -1.
    """
    points = points.to(float64_device(points.device))
    along = points @ _direction(points)
    order = along.argsort()
    close = bits(neighbours(points[order], along[order], eps))
    # Runs on the CPU: each step handles a few rows, too few to pay for a kernel launch.
    return torch.from_numpy(_grow(close, order.argsort().cpu().numpy(), min_samples))


def bits(close: Tensor) -> NDArray[np.uint8]:
    """``(n, m)`` bool to ``(n, ceil(m / 8))`` on the CPU, in numpy's order: the first column in the highest bit."""
    if close.device.type == "cpu":
        return np.packbits(close.numpy(), axis=1)
    return packed(close).cpu().numpy()  # packed first: the transfer is an eighth as large


def packed(close: Tensor) -> Tensor:
    """`bits` on the tensor's device."""
    eights = pad(close, (0, -close.shape[1] % BYTE)).view(len(close), -1, BYTE)
    weights = 2 ** torch.arange(BYTE - 1, -1, -1, dtype=torch.uint8, device=close.device)
    return (eights * weights).sum(dim=2, dtype=torch.uint8)


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


def neighbours(points: Tensor, along: Tensor, eps: float) -> Tensor:
    """Finds the pairs of points that are at most eps apart; the answer is that of float64.

    Args:
        points: ``(n, d)`` float32, sorted by ``along``.
        along: ``(n,)``, their coordinates on one axis. Points farther apart than eps on it are not neighbours.
        eps: radius.

    Returns:
        ``(n, n)`` bool, True for neighbours.
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


def _grow(close: NDArray[np.uint8], points: NDArray[np.int64], min_samples: int) -> NDArray[np.int64]:
    """Grows clusters breadth first, each from the first core point without a label.

    Args:
        close: ``(n, ceil(n / 8))``, from `neighbours`, as `bits`.
        points: ``(n,)``, the row of each point in ``close``.
        min_samples: as for `cluster`.

    Returns:
        ``(n,)`` int64, the label of each point.
    """
    core = np.bitwise_count(close).sum(axis=1, dtype=np.int64) >= min_samples
    labels = np.full(len(close), -1, np.int64)
    clusters = 0
    for first in points[core[points]]:
        if labels[first] >= 0:
            continue
        reached = np.array([first])
        while len(reached):
            labels[reached] = clusters
            seen = np.bitwise_or.reduce(close[reached[core[reached]]], axis=0)
            reached = np.flatnonzero(np.unpackbits(seen, count=len(close)).view(bool) & (labels < 0))
        clusters += 1
    return labels[points]
