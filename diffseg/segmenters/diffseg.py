"""DiffSeg as a segmenter: the paper's iterative merging (`diffseg.merging`) with its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor

from diffseg import merging
from diffseg.masks import labels_from_proposals
from diffseg.segmenters.base import Scene, fill_in


@dataclass(frozen=True)
class DiffSeg:
    """The paper's iterative merging; the fields are the arguments of `diffseg.segment`.

    ``tau`` None is the value tuned for the backbone; ``grid`` None is ``official`` at S = 64, else ``even``.
    """

    tuned_key: ClassVar[str] = "diffseg"

    tau: float | tuple[float, ...] | None = None
    anchors: int = 16
    iterations: int = 3
    rule: merging.Rule = "official"
    precision: merging.Precision = "float32"
    grid: merging.Grid | None = None
    refine: bool = False

    def __post_init__(self) -> None:
        merging.thresholds(1.0 if self.tau is None else self.tau, self.iterations)
        if self.anchors < 1:
            raise ValueError(f"anchors: must be at least 1, got {self.anchors}")

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        if self.anchors > side:
            raise ValueError(f"anchors: must be 1..{side}, the side of the attention, got {self.anchors}")
        return fill_in(self, {"grid": merging.default_grid(side), **tuned})

    def __call__(self, scene: Scene) -> Tensor:
        assert self.tau is not None  # resolved
        assert self.grid is not None
        # Rows that differ only in settings of the merging share its logarithms and divergences.
        if "merger" not in scene.shared:
            scene.shared["merger"] = merging.Merger(scene.aggregated)
        merger: merging.Merger = scene.shared["merger"]
        proposals = merger.proposals(self.tau, self.anchors, self.iterations, self.rule, self.precision, self.grid)
        if self.refine:
            proposals = merging.refined(scene.aggregated, proposals)
        return labels_from_proposals(proposals, scene.size)
