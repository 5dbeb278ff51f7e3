"""DiffCut: recursive normalised cut of one layer's features (Couairon et al., NeurIPS 2024, arXiv 2406.02842)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from torch import Tensor

from diffseg.segmenters.affinity import ALPHA, Input, affinity_of, assign_pixels, check_assign, points_of
from diffseg.segmenters.base import Scene
from diffseg.segmenters.ncut import check_threshold, recursive_cut
from diffseg.segmenters.refinement import PAMR_SIDE, Refinable

PUBLISHED_TAU = 0.5  # with SSD-1B, the backbone of the paper
ASSIGN_SIDE = PAMR_SIDE


@dataclass(frozen=True)
class DiffCut(Refinable):
    """Cuts the features recursively, then gives each pixel the segment whose mean feature is most similar.

    It follows the authors' code (t = 50; side 32 of SSD-1B at 1024 pixels; ``refine="pamr"``) with two exceptions:
    their code adds noise to the latent, and drops both locations of the least similar pair from all cuts but the first.
    The paper scores at 128 x 128 pixels (``protocol.size=128``).

    Attributes:
        tau: a cut is made if its value is below tau, > 0. None: the value tuned for the backbone and the data set, or
            `PUBLISHED_TAU` if none was tuned.
        alpha: exponent of the affinity, > 0.
        input: ``features``, or ``attention``: each location's attention map is its feature.
        assign: see `diffseg.segmenters.affinity.assign_pixels`.
    """

    tuned_key: ClassVar[str] = "diffcut"

    tau: float | None = None
    alpha: float = ALPHA
    input: Input = "features"
    assign: int | None = ASSIGN_SIDE

    def __post_init__(self) -> None:
        if self.tau is not None:
            check_threshold(self.tau)
        if not self.alpha > 0:
            raise ValueError(f"alpha: must be above 0, got {self.alpha}")
        check_assign(self.assign)

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        return self if self.tau is not None else replace(self, tau=tuned.get("tau", PUBLISHED_TAU))

    def segment(self, scene: Scene) -> Tensor:
        assert self.tau is not None  # resolved
        points = points_of(scene, self.input)
        labels = recursive_cut(affinity_of(points, self.alpha), self.tau)
        return assign_pixels(points, labels, scene, self.assign)
