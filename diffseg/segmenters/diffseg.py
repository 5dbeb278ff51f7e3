"""DiffSeg as a segmenter: the paper's iterative merging (`diffseg.merging`) with its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor

from diffseg import merging
from diffseg.masks import labels_from_proposals
from diffseg.segmenters.affinity import Input, walk_of
from diffseg.segmenters.base import Scene, fill_in
from diffseg.segmenters.refinement import Refinable


@dataclass(frozen=True)
class DiffSeg(Refinable):
    """The paper's iterative merging (Section 3.2, Eq. 4 to 6, Algorithm 1): ``(S*S, S*S)`` attention to int64 labels.

    The fields are the arguments of `diffseg.segment`, where they are explained, and:

    Attributes:
        tau: None: the value tuned for the backbone's attention. With ``input="features"`` it must be given.
        grid: None: ``official`` at S = 64, else ``even``; S is the side of the attention, for features, too.
        kmeans: ``refine`` of `diffseg.segment`: K-means from the proposals. (``refine`` of this class is PAMR.)
        input: ``attention``, or ``features``: the walk on DiffCut's graph (`diffseg.segmenters.affinity.walk_of`).

    Raises:
        ValueError: ``tau``, ``iterations`` or ``anchors`` is out of range.
    """

    tuned_key: ClassVar[str] = "diffseg"

    tau: float | tuple[float, ...] | None = None
    anchors: int = 16
    iterations: int = 3
    rule: merging.Rule = "official"
    precision: merging.Precision = "float32"
    grid: merging.Grid | None = None
    kmeans: bool = False
    input: Input = "attention"

    def __post_init__(self) -> None:
        merging.thresholds(1.0 if self.tau is None else self.tau, self.iterations)
        if self.anchors < 1:
            raise ValueError(f"anchors: must be at least 1, got {self.anchors}")

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        if self.anchors > side:
            raise ValueError(f"anchors: must be 1..{side}, the side of the attention, got {self.anchors}")
        if self.tau is None and self.input == "features":
            raise ValueError("tau: must be given with input=features, the backbone's value is for its attention")
        return fill_in(self, {"grid": merging.default_grid(side), **tuned})

    def segment(self, scene: Scene) -> Tensor:
        assert self.tau is not None  # resolved
        assert self.grid is not None
        # Rows that differ only in settings of the merging share its logarithms and divergences.
        kept = f"merger, {self.input}"
        if kept not in scene.shared:
            scene.shared[kept] = merging.Merger(walk_of(scene, self.input))
        merger: merging.Merger = scene.shared[kept]
        # Features may be coarser than the attention for which the anchors were checked.
        anchors = min(self.anchors, merger.side) if self.input == "features" else self.anchors
        proposals = merger.proposals(self.tau, anchors, self.iterations, self.rule, self.precision, self.grid)
        if self.kmeans:
            proposals = merging.refined(merger.aggregated, proposals)
        return labels_from_proposals(proposals, scene.size).to(scene.aggregated.device)
