"""DiffSeg: the paper's iterative merging (`diffseg.merging`), as a function and as a segmenter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from diffseg.isolation import isolated
from diffseg.limits import Count, Positive, check
from diffseg.masks import cluster_means, grid_side, height_width, labels_from_proposals
from diffseg.merging import AnchorsBy, Grid, Merger, Precision, Rule, anchor_rows
from diffseg.precision import float64_device
from diffseg.segmenters.base import CheckedSegmenter, Scene
from diffseg.segmenters.graphs import WalkInput, walk_of

OFFICIAL_GRID_SIDE = 64
"""The only side S for which the authors' anchor grid is published (512 pixels)."""


@torch.no_grad()
@isolated
def segment(
    aggregated: Tensor,
    tau: float | Sequence[float],
    anchors: int = 16,
    iterations: int = 3,
    rule: Rule = "official",
    precision: Precision = "float32",
    grid: Grid | None = None,
    size: int = 512,
    refine: Literal["none", "kmeans"] = "none",
    anchors_by: AnchorsBy = "grid",
) -> Tensor:
    """DiffSeg: segments a picture by merging its attention maps (paper, Section 3.2).

    Args:
        aggregated: ``(S*S, S*S)`` floating point, rows sum to 1, from `diffseg.aggregate`.
        tau: threshold of the symmetric divergence in nats, > 0: one for all iterations, or one for each. A good value
            depends on the backbone: 1.1 for Stable Diffusion (paper, Table 3), about 0.3 for DINOv2 ViT-S/14.
        anchors: M, anchors along one side, 1..S (`anchor_grid`).
        iterations: N >= 1, the first (from anchors to proposals) included.
        rule: how the later iterations average (`diffseg.merging.merge_proposals`).
        precision: precision of the first iteration's divergence (`diffseg.merging.Merger.divergence`); later iterations
            use float64.
        grid: layout of the anchors (`anchor_grid`); None: ``official`` at S = 64, else ``even``.
        size: side P of the label map in pixels.
        refine: ``kmeans`` runs K-means on the attention maps, started from the proposals, and uses its cluster means
            as proposals (an option of the authors' code, off in the benchmark). Pictures are refined in
            `diffseg.Model.segment`.
        anchors_by: ``rank`` takes the location that a walk along the attention visits most in each cell of an even
            grid, and does not use ``grid``.

    Returns:
        ``(size, size)`` int64 labels 0..K-1 on the device of ``aggregated``. A proposal that wins no pixel leaves its
        label unused.

    Raises:
        ValueError: an argument is out of range, or ``aggregated`` holds NaN or infinite values.
        TypeError: ``aggregated`` is not a tensor.
        diffseg.merging.NoProposals: float16 lost every proposal.

    At S = 2, the upper and the lower half of the picture each attend only to themselves:

    >>> upper, lower = [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]
    >>> segment(torch.tensor([upper, upper, lower, lower]), tau=0.3, anchors=2, size=4).tolist()
    [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    """
    check(refine=(refine, Literal["none", "kmeans"]))
    taus = tau if isinstance(tau, int | float) else tuple(tau)
    segmenter = DiffSeg(taus, anchors, iterations, rule, precision, grid, anchors_by, refine=refine)
    scene = Scene(size=height_width(size), aggregated=aggregated)
    return segmenter.resolved(grid_side(aggregated), {})(scene)


@dataclass(frozen=True)
class DiffSeg(CheckedSegmenter):
    """The paper's iterative merging of attention maps (Section 3.2, Eq. 4 to 6, Algorithm 1).

    The fields are the arguments of `diffseg.segment`, where they are explained. Without a tau, the value tuned for the
    backbone's attention is taken; with ``input="features"`` it must be given. The S of ``grid`` is the side of the
    attention, for features, too.
    """

    tuned_key = "diffseg"
    open = ("tau", "grid")
    finishing = frozenset({"tau", "anchors", "iterations", "rule", "precision", "grid", "anchors_by", "refine"})

    tau: Annotated[
        Positive | tuple[Positive, ...] | None,
        Field(description="threshold in nats, or one for each iteration; larger: fewer segments; null: tuned value"),
    ] = None
    anchors: Annotated[Count, Field(description="M, number of anchors along one side, 1..S")] = 16
    iterations: Annotated[Count, Field(description="N, number of merging iterations, the first included")] = 3
    rule: Annotated[Rule, Field(description='official (the authors\' code), paper ("without replacement")')] = (
        "official"
    )
    precision: Annotated[Precision, Field(description="precision of the first iteration; float16: as published")] = (
        "float32"
    )
    grid: Annotated[
        Grid | None, Field(description="official (the authors' code), even; null: official at S = 64, else even")
    ] = None
    anchors_by: Annotated[
        AnchorsBy, Field(description="grid; rank: the most visited location (TokenRank) of each cell")
    ] = "grid"
    input: WalkInput = "attention"
    refine: Annotated[
        Literal["none", "kmeans", "pamr"],
        Field(description="kmeans: K-means from the proposals (authors' code); pamr: segment borders to colour edges"),
    ] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.tau, tuple) and len(self.tau) != self.iterations:
            raise ValueError(
                f"tau: need one value, or one for each of the {self.iterations} iterations, got {list(self.tau)}"
            )

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        if self.anchors > side:
            raise ValueError(f"anchors: must be 1..{side}, the side of the attention, got {self.anchors}")
        if self.tau is None and self.input == "features":
            raise ValueError("tau: must be given with input=features, the backbone's value is for its attention")
        return super().resolved(side, {"grid": "official" if side == OFFICIAL_GRID_SIDE else "even", **tuned})

    def prepare(self, scene: Scene) -> Merger:
        return Merger(scene.aggregated if self.input == "attention" else walk_of(scene, self.input))

    def finish(self, prepared: Merger, scene: Scene) -> Tensor:
        assert self.tau is not None  # resolved
        assert self.grid is not None
        # Features may be coarser than the attention for which the anchors were checked.
        count = min(self.anchors, prepared.side) if self.input == "features" else self.anchors
        ranked = self.anchors_by == "rank"
        anchors = prepared.ranked(count) if ranked else anchor_rows(prepared.side, count, self.grid)
        taus = self.tau if isinstance(self.tau, tuple) else (self.tau,) * self.iterations
        proposals = prepared.proposals(taus, anchors, self.rule, self.precision)
        if self.refine == "kmeans":
            proposals = kmeans_from(prepared.aggregated, proposals)
        return labels_from_proposals(proposals, scene.size).to(scene.aggregated.device)


def kmeans_from(aggregated: Tensor, proposals: Tensor) -> Tensor:
    """Runs scikit-learn's K-means of the rows of ``(S*S, S*S)`` once, started from the proposals ``(K, S*S)``.

    Returns ``(K', S*S)`` float64, the means of the clusters, K' <= K: clusters stay empty if fewer maps differ.
    """
    maps = aggregated.to(float64_device(aggregated.device), torch.float64)
    from sklearn.cluster import KMeans  # takes a second to import, and few runs refine

    fitted = KMeans(n_clusters=len(proposals), init=proposals.cpu().numpy(), n_init=1).fit(maps.cpu().numpy())
    # Some clusters may be empty; the others are renumbered without gaps.
    return cluster_means(maps, torch.from_numpy(np.unique(fitted.labels_, return_inverse=True)[1]))
