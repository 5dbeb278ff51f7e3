"""Positional debiasing: removes the part of the features that depends only on the place (INSID3, arXiv 2603.28480).

The features of a black picture differ from place to place only in that part. INSID3 removes their first 500 singular
vectors (DINOv3). A small model has fewer, so here the number of vectors follows from their share of the variance.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def positional_basis(blank: Tensor, share: float) -> Tensor:
    """Directions in which the features ``(n, C)`` of a picture of one colour differ from place to place.

    Returns the first singular vectors, ``(r, C)`` float32, orthonormal: the fewest that explain ``share``, > 0 and at
    most 1, of the variance of the features as unit vectors.
    """
    points = F.normalize(blank.cpu().double(), dim=1)
    _, values, directions = torch.linalg.svd(points - points.mean(dim=0), full_matrices=False)
    explained = values.square().cumsum(dim=0) / values.square().sum()
    # Rounding may leave the last sum below 1. Directions of no variance are noise.
    rank = int((explained < min(share, 1 - torch.finfo(torch.float32).eps)).sum()) + 1
    return directions[:rank].to(blank)


def without_positions(features: Tensor, basis: Tensor) -> Tensor:
    """Removes the span of the basis ``(r, C)`` from the unit vectors of the features ``(n, C)`` float32.

    Returns ``(n, C)`` float32, not of unit length.
    """
    points = F.normalize(features, dim=1)
    return points - points @ basis.T @ basis
