"""K-means over the attention maps: the paper's K-Means-C and K-Means-S (Section 4.1).

`diffseg.segmenters.lloyd` follows scikit-learn's definition, order and random numbers in torch, several times faster
and on any device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from diffseg.isolation import isolated
from diffseg.limits import Count
from diffseg.masks import Size, Upsample, UpsampleSetting, grid_side, height_width, to_pixels
from diffseg.segmenters import lloyd
from diffseg.segmenters.affinity import Input, WalkInput, walk_of
from diffseg.segmenters.base import Clusters, RandomSeed, Scene, check_cells, fill_in
from diffseg.segmenters.refinement import Refinable, refined


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
    scene = Scene(size=height_width(size), aggregated=aggregated)
    return KMeans(clusters, seed=seed, n_init=n_init, upsample=upsample)(scene)


@dataclass(frozen=True, kw_only=True)
class Starts(Refinable):
    """K-means with random starts; a subclass gives the number of clusters."""

    seed: RandomSeed = 0
    n_init: Annotated[Count, Field(description="number of starts; the best is kept")] = 10
    upsample: UpsampleSetting = "soft"
    input: WalkInput = "attention"

    def count(self, scene: Scene) -> int:
        """Number of clusters, k, in this scene."""
        raise NotImplementedError

    def __call__(self, scene: Scene) -> Tensor:
        return next(self.segment_all(scene, [self]))

    @staticmethod
    def segment_all(scene: Scene, segmenters: Sequence[Starts]) -> Iterator[Tensor]:
        """Label map of each segmenter. Those that differ in the seed share their matrix products."""
        seeds: dict[tuple[Any, ...], set[int]] = {}
        for one in segmenters:
            seeds.setdefault(one._problem(scene), set()).add(one.seed)
        walks: dict[Input, Tensor] = {}
        solved: dict[tuple[Any, ...], dict[int, Tensor]] = {}
        for one in segmenters:
            if one.input not in walks:
                walks[one.input] = walk_of(scene, one.input)
            walk, problem = walks[one.input], one._problem(scene)
            if problem not in solved:
                check_cells("clusters", one.count(scene), grid_side(walk) ** 2)
                order = sorted(seeds[problem])
                labels = lloyd.cluster_seeds(walk, one.count(scene), order, one.n_init)
                solved[problem] = dict(zip(order, labels, strict=True))
            # Clusters are empty if too few maps differ; the others are renumbered without gaps.
            cells = solved[problem][one.seed].unique(return_inverse=True)[1]
            yield refined(one.refine, partial(one._to_pixels, walk, cells), scene)

    def _problem(self, scene: Scene) -> tuple[Any, ...]:
        """The settings, all but the seed, on which the clusters depend."""
        return self.input, self.count(scene), self.n_init

    def _to_pixels(self, walk: Tensor, cells: Tensor, scene: Scene) -> Tensor:
        return to_pixels(walk, cells, scene.size, self.upsample)


@dataclass(frozen=True)
class KMeans(Starts):
    """K-means of the S*S attention maps with a fixed number of clusters, k: the paper's K-Means-C (Section 4.1)."""

    clusters: Clusters = 6

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        check_cells("clusters", self.clusters, side * side)
        return fill_in(self, tuned)

    def count(self, scene: Scene) -> int:
        assert self.clusters is not None  # resolved
        return self.clusters


@dataclass(frozen=True)
class KMeansS(Starts):
    """K-means with one cluster for each class in the picture's ground truth: the paper's K-Means-S (Section 4.1)."""

    needs_truth: ClassVar[bool] = True

    def count(self, scene: Scene) -> int:
        if scene.true_classes is None:
            raise ValueError("true_classes: K-Means-S needs the picture's ground truth, which is missing")
        return scene.true_classes
