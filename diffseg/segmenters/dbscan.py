"""DBSCAN over the attention maps, a baseline of the paper (Section 4.1).

`diffseg.segmenters.density` follows scikit-learn's definition and order in torch, several times faster and on any
device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from diffseg.isolation import isolated
from diffseg.limits import Count, Positive
from diffseg.masks import (
    Size,
    Upsample,
    UpsampleSetting,
    cluster_means,
    grid_side,
    height_width,
    to_pixels,
)
from diffseg.precision import float64_device
from diffseg.segmenters import density
from diffseg.segmenters.base import Scene, fill_in
from diffseg.segmenters.refinement import Refinable

Noise = Literal["own", "nearest"]
NoiseSetting = Annotated[
    Noise, Field(description="points outside all clusters: own (one more segment), nearest (join the nearest cluster)")
]


@torch.no_grad()
@isolated
def dbscan(
    aggregated: Tensor,
    eps: float,
    min_samples: int,
    noise: Noise = "own",
    size: Size = 512,
    upsample: Upsample = "soft",
) -> Tensor:
    """DBSCAN (Ester et al., 1996; Euclidean) over the attention maps: a baseline of the paper (Section 4.1).

    Args:
        aggregated: ``(S*S, S*S)`` floating point; each row is a point.
        eps: radius of a neighbourhood, > 0, in the units of the attention maps.
        min_samples: neighbours, itself included, that make a core point, >= 1.
        noise: ``own``: all points outside clusters become one segment, with the last label. ``nearest``: each joins the
            cluster with the nearest mean map.
        size: side P of the label map in pixels, or (height, width).
        upsample: as for `kmeans`.

    Returns:
        ``(P, P)``, or (height, width), int64 labels 0..K-1 on the device of ``aggregated``. A picture that is all noise
        is one segment.

    Raises:
        ValueError: ``aggregated`` has another shape or dtype, or an argument is out of range.

    >>> upper, lower = [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]
    >>> dbscan(torch.tensor([upper, upper, lower, lower]), eps=0.1, min_samples=2, size=4).tolist()
    [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    """
    scene = Scene(size=height_width(size), aggregated=aggregated)
    return DBSCAN(eps, min_samples, noise, upsample)(scene)


def settle_noise(points: Tensor, labels: Tensor, noise: Noise) -> Tensor:
    """Replaces label -1 (noise), see ``noise`` of `dbscan`.

    Args:
        points: ``(n, d)`` floating point.
        labels: ``(n,)`` int64 >= -1, on any device. Labels on the CPU save a wait for the GPU.
        noise: see `dbscan`.

    Returns:
        ``(n,)`` int64 >= 0 on the CPU.
    """
    labels = labels.cpu()
    stray = labels == -1
    clusters = int(labels.max()) + 1
    if noise == "own" or not clusters:
        return labels.masked_fill(stray, clusters)
    points = points.to(float64_device(points.device))
    settled, strays = ((chosen.nonzero().flatten()).to(points.device) for chosen in (~stray, stray))
    means = cluster_means(points[settled], labels[~stray], clusters)
    nearest = torch.cdist(points[strays].double(), means.double()).argmin(dim=1)
    return labels.masked_scatter(stray, nearest.cpu())


@dataclass(frozen=True)
class DBSCAN(Refinable):
    """DBSCAN (Ester et al., 1996) over the S*S attention maps (paper, Section 4.1).

    Attributes:
        eps, min_samples: None: the value tuned for the backbone. (The paper gives its values only in an appendix.)
    """

    tuned_key: ClassVar[str | None] = "dbscan"

    eps: Annotated[Positive | None, Field(description="radius of a neighbourhood; null: the backbone's value")] = None
    min_samples: Annotated[
        Count | None, Field(description="neighbours, itself included, of a core point; null: the backbone's value")
    ] = None
    noise: NoiseSetting = "own"
    upsample: UpsampleSetting = "soft"

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        return fill_in(self, tuned)

    def segment(self, scene: Scene) -> Tensor:
        assert self.eps is not None  # resolved
        assert self.min_samples is not None
        grid_side(scene.aggregated)
        points = scene.aggregated.float()
        labels = settle_noise(points, density.cluster(points, self.eps, self.min_samples), self.noise)
        return to_pixels(scene.aggregated, labels, scene.size, self.upsample)
