"""DiffCut: recursive normalised cut of one layer's features (Couairon et al., NeurIPS 2024, arXiv 2406.02842)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field
from torch import Tensor

from diffseg.limits import Positive
from diffseg.segmenters.affinity import ALPHA, Assign, PointInput, affinity_of, assign_pixels, points_of
from diffseg.segmenters.base import Scene
from diffseg.segmenters.ncut import CutTree
from diffseg.segmenters.refinement import PAMR_SIDE, Refinable, refined

PUBLISHED_TAU = 0.5  # with SSD-1B, the backbone of the paper
ASSIGN_SIDE = PAMR_SIDE


@dataclass(frozen=True)
class DiffCut(Refinable):
    """Cuts the features recursively, then gives each pixel the segment whose mean feature is most similar.

    It follows the authors' code (t = 50; side 32 of SSD-1B at 1024 pixels; ``refine="pamr"``) with two exceptions:
    their code adds noise to the latent, and drops both locations of the least similar pair from all cuts but the first.
    The paper scores at 128 x 128 pixels (``protocol.size=128``).

    Attributes:
        tau: None: the value tuned for the backbone and the data set, or `PUBLISHED_TAU` if none was tuned.
    """

    tuned_key: ClassVar[str | None] = "diffcut"

    tau: Annotated[
        Positive | None,
        Field(description="cuts with a value below tau, 0..2, are made; null: the backbone's tuned value"),
    ] = None
    alpha: Annotated[Positive, Field(description="exponent of the affinity")] = ALPHA
    input: PointInput = "features"
    assign: Assign = ASSIGN_SIDE

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        return self if self.tau is not None else replace(self, tau=tuned.get("tau", PUBLISHED_TAU))

    def __call__(self, scene: Scene) -> Tensor:
        return next(self.segment_all(scene, [self]))

    @staticmethod
    def segment_all(scene: Scene, segmenters: Sequence[DiffCut]) -> Iterator[Tensor]:
        """Label map of each segmenter. Those that read the same graph share its cuts."""
        trees: dict[object, tuple[Tensor, CutTree]] = {}
        for one in segmenters:
            key = (one.input, one.alpha)
            if key not in trees:
                points = points_of(scene, one.input)
                trees[key] = points, CutTree(affinity_of(points, one.alpha))
            yield refined(one.refine, partial(one._labels, *trees[key]), scene)

    def _labels(self, points: Tensor, cuts: CutTree, scene: Scene) -> Tensor:
        assert self.tau is not None  # resolved
        return assign_pixels(points, cuts.labels(self.tau), scene, self.assign)
