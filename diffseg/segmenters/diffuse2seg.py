"""Diffuse2Seg's masks (Hümmer et al., arXiv 2609.06491): seeds spread over the attention, and similar ones are joined.

A one-hot map at each seed is smoothed on the graph of the attention by p-Laplacian regularisation, which keeps steep
borders if p < 2 (their Algorithm 1, the non-local regularisation of Elmoataz et al., 2008). The maps are joined by the
average linkage of their symmetric divergence (their Algorithm 2).

The paper was read through a summary and two people's reports on it; no code of the authors was found. Not known: the
formula of its threshold tau_att = 0.55 (see ``attention_threshold``), whether its divergence is the mean of both
directions, as here, or their sum, and a limit of the iterations. It cuts the linkage at six heights, splits segments
into connected components and keeps up to 1,000 overlapping masks; a row of this benchmark is one height, unsplit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from diffseg.divergence import symmetric_kl
from diffseg.masks import cluster_means, grid_side, labels_from_proposals
from diffseg.merging import anchor_rows
from diffseg.precision import float32_products
from diffseg.segmenters.base import CheckedSegmenter, Refinable, Scene
from diffseg.segmenters.graphs import WalkInput, walk_of

LEVELS = tuple(np.geomspace(0.186, 2.99, 6).round(3).tolist())
"""The paper's heights of the linkage, in nats."""

ANCHOR_WEIGHT = 1e-5  # lambda, weight of the seed's one-hot map
SETTLED = 1e-4  # the iteration ends when the squared change of every map is below this
FLAT = 1e-8  # smallest gradient: a negative power of 0 is infinite


@dataclass(frozen=True)
class Diffuse2Seg(Refinable):
    """Spreads seeds over the attention by p-Laplacian smoothing, and joins the maps by average linkage.

    Attributes:
        tau: `LEVELS` are the paper's. DINOv2's attention is flatter than that of Stable Diffusion and needs less. The
            default was tuned on CamVid with DINOv2 ViT-S/14.
        seeds: the paper has 23, each sixth of 140 locations.
        attention_threshold: the paper has a threshold of 0.55 and does not say of what. With 0 the maps of DINOv2
            become one segment.
    """

    finishing = CheckedSegmenter.finishing | {"tau"}

    tau: Annotated[float, Field(gt=0, description="height in nats at which the linkage is cut")] = 0.00298
    seeds: Annotated[int, Field(ge=1, description="seeds along one side, at most the side of the attention")] = 16
    p: Annotated[float, Field(gt=1, le=2, description="exponent of the smoothness; 2: linear diffusion")] = 1.6
    iterations: Annotated[int, Field(ge=1, description="the most steps of the smoothing")] = 100
    attention_threshold: Annotated[
        float, Field(ge=0, lt=1, description="fraction of a row's maximum below which attention is dropped; 0: none")
    ] = 0.05
    input: WalkInput = "attention"

    def prepare(self, scene: Scene) -> tuple[Tensor, NDArray[np.float64]]:
        """Maps of the seeds ``(K, S*S)``, each of sum 1, and SciPy's linkage of them, ``(K - 1, 4)``."""
        walk = walk_of(scene, self.input)
        side = grid_side(walk)
        strong = walk * (walk >= self.attention_threshold * walk.amax(dim=1, keepdim=True))
        seeds = anchor_rows(side, min(self.seeds, side), "even")
        maps = propagate(strong / strong.sum(dim=1, keepdim=True), seeds, self.p, self.iterations)
        maps = maps / maps.sum(dim=1, keepdim=True)
        distances = symmetric_kl(maps, maps).double().cpu().numpy()
        return maps, linkage(squareform(distances, checks=False), "average") if len(maps) > 1 else np.empty((0, 4))

    def finish(self, prepared: tuple[Tensor, NDArray[np.float64]], scene: Scene) -> Tensor:
        maps, tree = prepared
        numbers = fcluster(tree, self.tau, "distance") - 1 if len(tree) else np.zeros(1)
        return labels_from_proposals(cluster_means(maps, torch.from_numpy(numbers).long()), scene.size)


@torch.no_grad()
@float32_products()
def propagate(walk: Tensor, seeds: Tensor, p: float, iterations: int) -> Tensor:
    """Smooths a one-hot map for each seed by p-Laplacian regularisation, in Gauss-Jacobi steps: ``(K, n)`` in 0..1.

    A step minimises ``sum_i g_i^p / p + lambda / 2 |f - f0|^2`` with the gradient ``g_i^2 = sum_j A_ij (f_j - f_i)^2``:
    each value becomes the mean of its neighbours with the weights ``A_ij (g_i^(p-2) + g_j^(p-2))``, and of its seed's
    one-hot value with the weight lambda. Matrix products compute it without a tensor of all pairs for each seed.

    Args:
        walk: ``(n, n)`` float32 A, rows sum to 1.
        seeds: ``(K,)`` int64 row numbers.
        p: exponent, 1 < p <= 2.
        iterations: the most steps.
    """
    count, columns = len(seeds), walk.T
    start = torch.zeros(count, len(walk), dtype=walk.dtype, device=walk.device)
    start[torch.arange(count), seeds.to(walk.device)] = 1
    maps, degree = start, walk.sum(dim=1)
    for _ in range(iterations):
        mean, square = (torch.cat([maps, maps * maps]) @ columns).split(count)
        gradient = (square - 2 * maps * mean + maps * maps * degree).clamp_(min=0).sqrt_().clamp_(min=FLAT)
        weight = gradient.pow_(p - 2)
        pulled, total = (torch.cat([weight * maps, weight]) @ columns).split(count)
        new = (ANCHOR_WEIGHT * start + weight * mean + pulled) / (ANCHOR_WEIGHT + weight * degree + total)
        change = float((new - maps).square().sum(dim=1).max())
        maps = new
        if change < SETTLED:
            break
    return maps
