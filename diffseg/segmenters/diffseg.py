"""DiffSeg as a segmenter: the paper's iterative merging (`diffseg.merging`) with its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field
from torch import Tensor

from diffseg import merging
from diffseg.limits import Count, Positive
from diffseg.masks import labels_from_proposals
from diffseg.segmenters.affinity import Input, WalkInput, walk_of
from diffseg.segmenters.base import CheckedSegmenter, Scene, fill_in
from diffseg.segmenters.refinement import refined


@dataclass(frozen=True)
class DiffSeg(CheckedSegmenter):
    """The paper's iterative merging of attention maps (Section 3.2, Eq. 4 to 6, Algorithm 1).

    The fields are the arguments of `diffseg.segment`, where they are explained, and:

    Attributes:
        tau: None: the value tuned for the backbone's attention. With ``input="features"`` it must be given.
        grid: None: ``official`` at S = 64, else ``even``; S is the side of the attention, for features, too.
    """

    tuned_key: ClassVar[str | None] = "diffseg"

    tau: Annotated[
        Positive | tuple[Positive, ...] | None,
        Field(description="threshold in nats, or one for each iteration; larger: fewer segments; null: tuned value"),
    ] = None
    anchors: Annotated[Count, Field(description="M, number of anchors along one side, 1..S")] = 16
    iterations: Annotated[Count, Field(description="N, number of merging iterations, the first included")] = 3
    rule: Annotated[merging.Rule, Field(description='official (the authors\' code), paper ("without replacement")')] = (
        "official"
    )
    precision: Annotated[
        merging.Precision, Field(description="precision of the first iteration; float16: as published")
    ] = "float32"
    grid: Annotated[
        merging.Grid | None,
        Field(description="official (the authors' code), even; null: official at S = 64, else even"),
    ] = None
    anchors_by: Annotated[
        merging.AnchorsBy,
        Field(description="grid; rank: the most visited location (TokenRank) of each cell"),
    ] = "grid"
    input: WalkInput = "attention"
    refine: Annotated[
        Literal["none", "kmeans", "pamr"],
        Field(description="kmeans: K-means from the proposals (authors' code); pamr: segment borders to colour edges"),
    ] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        merging.thresholds(1.0 if self.tau is None else self.tau, self.iterations)

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        if self.anchors > side:
            raise ValueError(f"anchors: must be 1..{side}, the side of the attention, got {self.anchors}")
        if self.tau is None and self.input == "features":
            raise ValueError("tau: must be given with input=features, the backbone's value is for its attention")
        return fill_in(self, {"grid": merging.default_grid(side), **tuned})

    def __call__(self, scene: Scene) -> Tensor:
        return next(self.segment_all(scene, [self]))

    @staticmethod
    def segment_all(scene: Scene, segmenters: Sequence[DiffSeg]) -> Iterator[Tensor]:
        """Label map of each segmenter. They share the logarithms and divergences of the attention."""
        mergers: dict[Input, merging.Merger] = {}
        for one in segmenters:
            if one.input not in mergers:
                mergers[one.input] = merging.Merger(walk_of(scene, one.input))
            yield refined(one.refine, partial(one._merge, mergers[one.input]), scene)

    def _merge(self, merger: merging.Merger, scene: Scene) -> Tensor:
        assert self.tau is not None  # resolved
        assert self.grid is not None
        # Features may be coarser than the attention for which the anchors were checked.
        anchors = min(self.anchors, merger.side) if self.input == "features" else self.anchors
        proposals = merger.proposals(
            self.tau, anchors, self.iterations, self.rule, self.precision, self.grid, self.anchors_by
        )
        if self.refine == "kmeans":
            proposals = merging.kmeans_from(merger.aggregated, proposals)
        return labels_from_proposals(proposals, scene.size).to(scene.aggregated.device)
