"""DiffCut: recursive normalised cut of one layer's features (Couairon et al., NeurIPS 2024, arXiv 2406.02842)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from diffseg.masks import cluster_means, labels_from_proposals
from diffseg.segmenters.base import Scene
from diffseg.segmenters.ncut import check_threshold, recursive_cut


def affinity_of(features: Tensor, alpha: float) -> Tensor:
    """Cosine similarity of all pairs, stretched to 0..1, to the power alpha.

    Args:
        features: ``(n, C)`` float32, rows of unit length.
        alpha: > 0.

    Returns:
        ``(n, n)`` float32, symmetric; all ones where the features do not differ.
    """
    cosine = features @ features.T
    low, high = cosine.aminmax()
    if low == high:
        return torch.ones_like(cosine)
    return ((cosine - low) / (high - low)) ** alpha


@dataclass(frozen=True)
class DiffCut:
    """Recursive normalised cut of the features, then each pixel to the segment whose mean feature is most similar.

    As in the authors' code (their values: the defaults; t = 50; side 32 of SSD-1B at 1024 pixels), but: theirs adds
    noise to the latent, a backbone here none; theirs assigns at 128 x 128 pixels, this at the scored size; theirs drops
    both locations of the least similar pair from all cuts but the first. Their refinement (PAMR) is left out.

    Attributes:
        tau: a cut is made when its value is below, > 0.
        alpha: exponent of the affinity, > 0.
    """

    tau: float = 0.5
    alpha: float = 10.0

    def __post_init__(self) -> None:
        check_threshold(self.tau)
        if not self.alpha > 0:
            raise ValueError(f"alpha: must be above 0, got {self.alpha}")

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        return self

    @torch.no_grad()
    def __call__(self, scene: Scene) -> Tensor:
        """Labels ``(P, P)``. Raises ValueError where the backbone gave no features."""
        if scene.features is None:
            raise ValueError("features: this backbone gives none, and DiffCut cuts nothing else")
        features = F.normalize(scene.features, dim=1)
        labels = recursive_cut(affinity_of(features, self.alpha), self.tau)
        # Similarity to a mean is linear: upsampling it is upsampling the features.
        means = cluster_means(features, labels, int(labels.max()) + 1)
        return labels_from_proposals(means @ features.T, scene.size)
