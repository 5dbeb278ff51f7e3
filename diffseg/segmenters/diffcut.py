"""DiffCut: recursive normalised cut of one layer's features (Couairon et al., NeurIPS 2024, arXiv 2406.02842)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from diffseg.limits import Positive
from diffseg.segmenters.base import CheckedSegmenter, Refinable, Scene
from diffseg.segmenters.graphs import ALPHA, ASSIGN_SIDE, Assign, PointInput, affinity_of, assign_pixels, points_of
from diffseg.segmenters.ncut import CutTree

PUBLISHED_TAU = 0.5  # with SSD-1B, the backbone of the paper


@dataclass(frozen=True)
class DiffCut(Refinable):
    """Cuts the features recursively, then gives each pixel the segment whose mean feature is most similar.

    It follows the authors' code (t = 50; side 32 of SSD-1B at 1024 pixels; ``refine="pamr"``) with two exceptions:
    their code adds noise to the latent, and drops both locations of the least similar pair from all cuts but the first.
    The paper scores at 128 x 128 pixels (``protocol.size=128``).
    """

    tuned_key = "diffcut"
    open = ("tau",)
    published_tau = PUBLISHED_TAU
    finishing = CheckedSegmenter.finishing | {"tau"}

    tau: Annotated[
        Positive | None,
        Field(description="cuts with a value below tau, 0..2, are made; null: the backbone's tuned value"),
    ] = None
    alpha: Annotated[Positive, Field(description="exponent of the affinity")] = ALPHA
    input: PointInput = "features"
    assign: Assign = ASSIGN_SIDE

    def prepare(self, scene: Scene) -> tuple[Tensor, CutTree]:
        points = points_of(scene, self.input)
        return points, CutTree(affinity_of(points, self.alpha))

    def finish(self, prepared: tuple[Tensor, CutTree], scene: Scene) -> Tensor:
        assert self.tau is not None  # resolved
        points, cuts = prepared
        return assign_pixels(points, cuts.labels(self.tau), scene, self.assign)
