"""DBSCAN as scikit-learn defines it, on a matrix of neighbours that comes out of matrix products."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from diffseg.precision import float32_products

ROWS = 256  # of the matrix of products computed at a time
ALIGNMENT = 64  # of that: products of odd widths were measured a quarter slower
SAMPLE = 256  # points from which the principal axis is estimated
POWER_ITERATIONS = 3

# Squared distances this close to eps^2, relative to the points' squared norms, are decided in float64. The error of the
# float32 ones was 2e-6 at most, so the window holds every pair that rounding could move across.
NEAR_TIE = 1e-5
PAIRS_AT_ONCE = 256  # of those decided again, so that ties everywhere need no more memory


@torch.no_grad()
@float32_products()
def cluster(points: Tensor, eps: float, min_samples: int) -> Tensor:
    """Density-based clusters (Ester et al., 1996), with the labels of scikit-learn's ``DBSCAN``, numbering included.

    Args:
        points: ``(n, d)`` float32, on any device.
        eps: radius of a neighbourhood, > 0; a point at that very distance belongs to it.
        min_samples: neighbours, itself included, that make a core point, >= 1.

    Returns:
        ``(n,)`` int64 on the device of the points: clusters are numbered in the order of their first core points; a
        point that is not core joins the first cluster that reaches it; -1 is a point of none.
    """
    along = points @ _direction(points)
    order = along.argsort()
    close = neighbours(points[order], along[order], eps).cpu().numpy()
    # On the host: a step of the search is a few rows at a time, too little work for a GPU to be worth its launches.
    return torch.from_numpy(_grow(close, order.argsort().cpu().numpy(), min_samples)).to(points.device)


def _direction(points: Tensor) -> Tensor:
    """Unit vector ``(d,)`` along which the points lie far apart: roughly their first principal axis.

    Every point counts alike, however far from the mean, lest a few outliers decide.
    """
    sample = points[:: 1 + len(points) // SAMPLE]
    sample = normalize(sample - sample.mean(dim=0), dim=1)
    direction = sample[0]
    for _ in range(POWER_ITERATIONS):
        direction = normalize(sample.T @ (sample @ direction), dim=0)
    return direction


def neighbours(points: Tensor, along: Tensor, eps: float) -> Tensor:
    """Which points are at most eps apart, the same as in float64.

    Args:
        points: ``(n, d)`` float32, sorted by ``along``.
        along: ``(n,)``, their coordinates on some axis: those farther apart than eps there are so in space.
        eps: radius.

    Returns:
        ``(n, n)`` bool.
    """
    norms = torch.linalg.vector_norm(points, dim=1).square()
    near = eps + NEAR_TIE * norms.max().sqrt()  # more than the coordinates are off by
    first = (torch.searchsorted(along, along[::ROWS] - near) // ALIGNMENT * ALIGNMENT).tolist()
    close = torch.zeros(len(points), len(points), dtype=torch.bool, device=points.device)
    for block, start in enumerate(range(0, len(points), ROWS)):
        # Up to the diagonal: distances are symmetric.
        rows, columns = slice(start, start + ROWS), slice(first[block], start + ROWS)
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
    """Breadth first from each core point that has no label yet.

    Args:
        close: ``(n, n)``, from `neighbours`.
        points: ``(n,)``, the row of each point in ``close``.
        min_samples: as for `cluster`.

    Returns:
        ``(n,)`` the label of each point.
    """
    core = close.sum(axis=1) >= min_samples
    labels = np.full(len(close), -1, np.int64)
    clusters = 0
    for first in points[core[points]]:
        if labels[first] >= 0:
            continue
        reached = np.array([first])
        while len(reached):
            labels[reached] = clusters
            reached = np.flatnonzero(close[reached[core[reached]]].any(axis=0) & (labels < 0))
        clusters += 1
    return labels[points]
