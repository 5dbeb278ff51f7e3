"""K-means over the attention maps: the paper's K-Means-C and K-Means-S (Section 4.1).

`diffseg.segmenters.lloyd` follows scikit-learn's definition, order and random numbers in torch, several times faster
and on any device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

from diffseg.choices import check_choices
from diffseg.isolation import isolated
from diffseg.masks import Size, Upsample, grid_side, to_pixels
from diffseg.segmenters import lloyd
from diffseg.segmenters.affinity import Input, walk_of
from diffseg.segmenters.base import SEGMENTERS, Scene, check_clusters, check_seed, fill_in
from diffseg.segmenters.refinement import Refinable


@torch.no_grad()
@isolated
def kmeans(
    aggregated: Tensor,
    clusters: int,
    seed: int = 0,
    n_init: int = 10,
    size: Size = 512,
    upsample: Upsample = "soft",
) -> Tensor:
    """K-means (k-means++, Lloyd) over the attention maps: a baseline of the paper (Section 4.1).

    Args:
        aggregated: ``(S*S, S*S)`` floating point; each row is a point.
        clusters: k, 1..S*S. The paper's K-Means-C takes the data set's mean number of classes in a picture, 6 on
            COCO-Stuff; K-Means-S takes the number of classes in the picture's ground truth.
        seed: seed of the random starts, 0..2^32-1.
        n_init: number of starts, >= 1; the start with the least inertia is kept.
        size: side P of the label map in pixels, or (height, width).
        upsample: ``soft``: the clusters' mean maps compete for each pixel, as DiffSeg's proposals do. ``nearest``: each
            pixel takes the cluster of its cell.

    Returns:
        ``(P, P)``, or (height, width), int64 labels on the device of ``aggregated``: 0..clusters-1, or fewer if fewer
        maps differ.

    Raises:
        ValueError: ``aggregated`` has another shape or dtype, or an argument is out of range.

    >>> upper, lower = [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]
    >>> labels = kmeans(torch.tensor([upper, upper, lower, lower]), clusters=2, size=4)
    >>> bool((labels[:2] == labels[0, 0]).all() and (labels[2:] == 1 - labels[0, 0]).all())
    True
    """
    _check_clusters(aggregated, clusters)
    _check_starts(seed, n_init)
    check_choices(upsample=(upsample, Upsample))
    return _to_pixels(aggregated, lloyd.cluster(aggregated.float(), clusters, seed, n_init), size, upsample)


def _check_clusters(aggregated: Tensor, clusters: int) -> None:
    maps = grid_side(aggregated) ** 2
    if not 1 <= clusters <= maps:
        raise ValueError(f"clusters: must be 1..{maps}, the number of attention maps, got {clusters}")


def _check_starts(seed: int, n_init: int) -> None:
    check_seed(seed)
    if n_init < 1:
        raise ValueError(f"n_init: must be at least 1, got {n_init}")


def _to_pixels(aggregated: Tensor, labels: Tensor, size: Size, upsample: Upsample) -> Tensor:
    """Label map of ``(S*S,)`` labels on the CPU, renumbered without gaps: clusters are empty if too few maps differ."""
    return to_pixels(aggregated, labels.unique(return_inverse=True)[1], size, upsample)


@dataclass(frozen=True)
class KMeans(Refinable):
    """K-means of the S*S attention maps (paper, Section 4.1).

    K-Means-C has a fixed number of ``clusters``. K-Means-S (``clusters: truth``) has one for each class in the picture.

    Attributes:
        clusters: k, 1..S*S; ``truth``: the number of classes in the picture's ground truth; None: the data set's mean
            number of classes in a picture.
        seed, n_init, upsample: as for `kmeans`.
        input: ``attention``, or ``features``: the walk on DiffCut's graph (`diffseg.segmenters.affinity.walk_of`).

    Raises:
        ValueError: ``clusters``, ``seed`` or ``n_init`` is out of range.
    """

    clusters: int | Literal["truth"] | None = 6
    seed: int = 0
    n_init: int = 10
    upsample: Upsample = "soft"
    input: Input = "attention"

    def __post_init__(self) -> None:
        if isinstance(self.clusters, int):
            check_clusters(self.clusters)
        _check_starts(self.seed, self.n_init)

    @property
    def needs_truth(self) -> bool:
        return self.clusters == "truth"

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        if isinstance(self.clusters, int) and self.clusters > side * side:
            raise ValueError(f"clusters: must be 1..{side * side}, the number of attention maps, got {self.clusters}")
        return fill_in(self, tuned)

    def segment(self, scene: Scene) -> Tensor:
        clusters = self._count(scene)
        if clusters is None:
            raise ValueError("clusters: truth needs the picture's ground truth, which is missing")
        walk = walk_of(scene, self.input)
        _check_clusters(walk, clusters)
        # Rows that differ in the seed share their matrix products: the first of them clusters for all.
        kept = scene.shared.setdefault(f"kmeans, {self.input}, {clusters} clusters, {self.n_init} starts", {})
        if self.seed not in kept:
            seeds = sorted({self.seed, *self._other_seeds(scene, clusters)} - set(kept))
            kept.update(zip(seeds, lloyd.cluster_seeds(walk, clusters, seeds, self.n_init), strict=True))
        return _to_pixels(walk, kept[self.seed], scene.size, self.upsample)

    def _count(self, scene: Scene) -> int | None:
        """Number of clusters in this scene; None if it depends on the number of true classes, and that is unknown."""
        assert self.clusters is not None  # resolved
        return scene.true_classes if self.clusters == "truth" else self.clusters

    def _other_seeds(self, scene: Scene, clusters: int) -> list[int]:
        """Seeds of the other rows of this tensor that cluster it in the same way."""
        alike = (clusters, self.n_init, self.input)
        others = [each for each in scene.shared.get(SEGMENTERS, ()) if isinstance(each, KMeans)]
        return [each.seed for each in others if (each._count(scene), each.n_init, each.input) == alike]
