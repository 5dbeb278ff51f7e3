"""DBSCAN over the attention maps, a baseline of the paper (Section 4.1).

`diffseg.segmenters.density` follows scikit-learn's definition and order in torch, several times faster and on any
device; ``impl="sklearn"`` is scikit-learn itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from diffseg.isolation import isolated
from diffseg.masks import Size, Upsample, cluster_means, grid_side, to_pixels
from diffseg.precision import float64_device
from diffseg.segmenters import density
from diffseg.segmenters.base import Scene, check_choices, fill_in
from diffseg.segmenters.kmeans import Impl
from diffseg.segmenters.refinement import Refinable

Noise = Literal["own", "nearest"]


@torch.no_grad()
@isolated
def dbscan(
    aggregated: Tensor,
    eps: float,
    min_samples: int,
    noise: Noise = "own",
    size: Size = 512,
    upsample: Upsample = "soft",
    impl: Impl = "torch",
) -> Tensor:
    """DBSCAN (Euclidean) over the attention maps.

    Args:
        aggregated: ``(S*S, S*S)`` floating point; each row is a point.
        eps: radius of a neighbourhood, > 0, in the units of the attention maps.
        min_samples: neighbours, itself included, that make a core point, >= 1.
        noise: ``own``: all points outside clusters become one segment, with the last label. ``nearest``: each joins the
            cluster with the nearest mean map.
        size: side P of the label map in pixels, or (height, width).
        upsample: as for `kmeans`.
        impl: as for `kmeans`.

    Returns:
        ``(size, size)`` int64 labels on the device of ``aggregated``; a picture that is all noise is one segment.

    Raises:
        ValueError: an argument out of range.

    >>> upper, lower = [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]
    >>> dbscan(torch.tensor([upper, upper, lower, lower]), eps=0.1, min_samples=2, size=4).tolist()
    [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    """
    grid_side(aggregated)
    if not eps > 0:
        raise ValueError(f"eps: must be above 0, got {eps}")
    if min_samples < 1:
        raise ValueError(f"min_samples: must be at least 1, got {min_samples}")
    check_choices(noise=(noise, Noise), upsample=(upsample, Upsample), impl=(impl, Impl))
    points = aggregated.float()
    if impl == "torch":
        labels = density.cluster(points, eps, min_samples)
    else:
        from sklearn.cluster import DBSCAN as SklearnDBSCAN  # takes a second to import

        fitted = SklearnDBSCAN(eps=eps, min_samples=min_samples).fit(points.cpu().numpy())
        labels = torch.from_numpy(fitted.labels_)
    return to_pixels(aggregated, settle_noise(points, labels, noise), size, upsample)


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
    """DBSCAN with the arguments of `dbscan`. None: the value tuned for the backbone."""

    tuned_key: ClassVar[str] = "dbscan"

    eps: float | None = None  # the paper gives its values only in an appendix
    min_samples: int | None = None
    noise: Noise = "own"
    upsample: Upsample = "soft"
    impl: Impl = "torch"

    def __post_init__(self) -> None:
        if self.eps is not None and not self.eps > 0:
            raise ValueError(f"eps: must be above 0, got {self.eps}")
        if self.min_samples is not None and self.min_samples < 1:
            raise ValueError(f"min_samples: must be at least 1, got {self.min_samples}")

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        return fill_in(self, tuned)

    def segment(self, scene: Scene) -> Tensor:
        assert self.eps is not None  # resolved
        assert self.min_samples is not None
        return dbscan(scene.aggregated, self.eps, self.min_samples, self.noise, scene.size, self.upsample, self.impl)
