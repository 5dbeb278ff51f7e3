"""Segmenters as the configuration knows them: one frozen dataclass each, whose fields are the keys of its YAML.

A segmenter is a function of one picture's aggregated attention. A new one is a class like these, in a module of its
own, and a ``conf/segmenter/NAME.yaml`` that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol, Self, TypeVar, cast

from torch import Tensor

from diffseg import baselines, merging
from diffseg.masks import Size, labels_from_proposals

# The only side for which the authors' anchor grid is published (64 cells at 512 pixels).
OFFICIAL_GRID_SIDE = 64


@dataclass(frozen=True)
class Scene:
    """What a segmenter may look at.

    Attributes:
        merger: of the aggregated tensor; rows that differ only in DiffSeg's settings share its divergences.
        size: side P of the label map in pixels, or (height, width).
        true_classes: classes in this picture's ground truth, for segmenters that are told (K-Means-S).
        features: see `diffseg.attention.AttentionMaps`.
        image: the picture itself, ``(3, side, side)`` float32 RGB in [0, 255], for segmenters without a network.
        truth: its ground truth, ``(P, P)``, negative where there is none: for the oracle alone.
    """

    merger: merging.Merger
    size: Size
    true_classes: int
    features: Tensor | None = None
    image: Tensor | None = None
    truth: Tensor | None = None

    @property
    def aggregated(self) -> Tensor:
        """``(S*S, S*S)`` float32, rows sum to 1."""
        return self.merger.aggregated


AnySegmenter = TypeVar("AnySegmenter", bound="Segmenter")


class Segmenter(Protocol):
    """A segmenter with its parameters."""

    def __hash__(self) -> int: ...

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        """The same with every parameter that was left open filled in, for attention of this finest side.

        Args:
            side: S.
            tuned: parameter -> value that suits the backbone and the data set.

        Raises:
            ValueError: a parameter stays open or does not fit the side.
        """
        ...

    def __call__(self, scene: Scene) -> Tensor:
        """Labels ``(P, P)`` int64 >= 0."""
        ...


def fill_in(segmenter: AnySegmenter, values: Mapping[str, Any]) -> AnySegmenter:
    """Replaces the fields that are None by ``values``.

    Raises:
        ValueError: a field is still None.
    """
    open_ones = [each.name for each in fields(cast(Any, segmenter)) if getattr(segmenter, each.name) is None]
    if missing := [name for name in open_ones if values.get(name) is None]:
        raise ValueError(f"{missing[0]}: no value is known for this backbone, give one")
    return replace(cast(Any, segmenter), **{name: values[name] for name in open_ones})


@dataclass(frozen=True)
class DiffSeg:
    """The paper's iterative merging; the fields are the arguments of `diffseg.segment`.

    ``tau`` None is the value tuned for the backbone; ``grid`` None is ``official`` at S = 64, else ``even``.
    """

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
        return fill_in(self, {"grid": "official" if side == OFFICIAL_GRID_SIDE else "even", **tuned})

    def __call__(self, scene: Scene) -> Tensor:
        assert self.tau is not None  # resolved
        assert self.grid is not None
        proposals = scene.merger.proposals(
            self.tau, self.anchors, self.iterations, self.rule, self.precision, self.grid
        )
        if self.refine:
            proposals = merging.refined(scene.aggregated, proposals)
        return labels_from_proposals(proposals, scene.size)


@dataclass(frozen=True)
class KMeans:
    """K-Means-C (a number of ``clusters``) or K-Means-S (``clusters: truth``, as many as the picture has classes).

    ``clusters`` None is the data set's own mean number of classes in a picture.
    """

    clusters: int | Literal["truth"] | None = 6
    seed: int = 0
    n_init: int = 10
    upsample: baselines.Upsample = "soft"
    impl: baselines.Impl = "torch"

    def __post_init__(self) -> None:
        if isinstance(self.clusters, int) and self.clusters < 1:
            raise ValueError(f"clusters: must be at least 1, or truth, got {self.clusters}")
        if self.n_init < 1:
            raise ValueError(f"n_init: must be at least 1, got {self.n_init}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed: must be 0..2^32-1, got {self.seed}")

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        if isinstance(self.clusters, int) and self.clusters > side * side:
            raise ValueError(f"clusters: must be 1..{side * side}, the number of attention maps, got {self.clusters}")
        return fill_in(self, tuned)

    def __call__(self, scene: Scene) -> Tensor:
        assert self.clusters is not None  # resolved
        clusters = scene.true_classes if self.clusters == "truth" else self.clusters
        return baselines.kmeans(
            scene.aggregated, clusters, self.seed, self.n_init, scene.size, self.upsample, self.impl
        )


@dataclass(frozen=True)
class DBSCAN:
    """DBSCAN; None is the value tuned for the backbone (the paper's own stand only in its appendix)."""

    eps: float | None = None
    min_samples: int | None = None
    noise: baselines.Noise = "own"
    upsample: baselines.Upsample = "soft"
    impl: baselines.Impl = "torch"

    def __post_init__(self) -> None:
        if self.eps is not None and not self.eps > 0:
            raise ValueError(f"eps: must be above 0, got {self.eps}")
        if self.min_samples is not None and self.min_samples < 1:
            raise ValueError(f"min_samples: must be at least 1, got {self.min_samples}")

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        return fill_in(self, tuned)

    def __call__(self, scene: Scene) -> Tensor:
        assert self.eps is not None  # resolved
        assert self.min_samples is not None
        return baselines.dbscan(
            scene.aggregated, self.eps, self.min_samples, self.noise, scene.size, self.upsample, self.impl
        )
