"""MaskCut and TokenCut: objects are cut one after another out of a graph of similar locations.

TokenCut (Wang et al., CVPR 2022, arXiv 2202.11539) makes one normalised cut and keeps one object. MaskCut (Wang et al.,
CVPR 2023, arXiv 2301.11320) repeats the cut without the objects found so far. Both are written from the papers.

MaskCut's paper leaves open what happens if a stage finds locations of an earlier object: here each location belongs to
the first object that has it. The papers refine masks with a CRF; here ``refine="pamr"`` takes its place. Their code
holds MaskCut's rule of corners against the side on which the eigenvector is above its mean, so that the sign of the
eigenvector, which is arbitrary, can change the result. Here the rule starts from the side of the largest entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Annotated, Literal

import torch
from pydantic import Field
from scipy.ndimage import label
from torch import Tensor

from diffseg.limits import Count
from diffseg.masks import labels_from_proposals
from diffseg.segmenters.base import Refinable, Scene
from diffseg.segmenters.graphs import PointInput, points_of, second_eigenvector

Prior = Literal["corners", "none"]
"""``corners``: a side of a cut with three or four of the picture's corners is background; ``none``: TokenCut."""

PUBLISHED_TAU = 0.15  # of both papers, for DINO
WEAK = 1e-5  # weight of an edge between locations that are not similar, so that the graph stays connected
BACKGROUND_CORNERS = 3  # "fewer than two corners" belong to an object: then the other side has at least three


@dataclass(frozen=True)
class MaskCut(Refinable):
    """Cuts up to N objects, one after another, out of a graph of similar locations; the rest is background.

    TokenCut has one object, MaskCut three. `PUBLISHED_TAU` suits the keys of DINO. The keys of DINOv2 ViT-S/14 are all
    more similar to each other (0.6 to 1 on a photograph).
    """

    tuned_key = "maskcut"
    open = ("tau",)
    published_tau = PUBLISHED_TAU

    tau: Annotated[
        float | None, Field(ge=-1, le=1, description="cosine similarity above which two locations are joined")
    ] = None
    masks: Annotated[Count, Field(description="number of objects; the rest is background")] = 3
    prior: Annotated[
        Prior, Field(description="corners: a side with three corners of the picture is background; none: TokenCut")
    ] = "corners"
    input: PointInput = "features"

    def prepare(self, scene: Scene) -> Tensor:
        assert self.tau is not None  # resolved
        return cut_objects(points_of(scene, self.input), self.tau, self.masks, self.prior)

    def finish(self, prepared: Tensor, scene: Scene) -> Tensor:
        numbers, labels = prepared.unique(return_inverse=True)
        masks = labels == torch.arange(len(numbers), device=labels.device)[:, None]
        return labels_from_proposals(masks.float(), scene.size)


def cut_objects(points: Tensor, tau: float, masks: int, prior: Prior) -> Tensor:
    """Finds objects, the most prominent first, in ``(n, C)`` float32 unit vectors of a square grid.

    Returns:
        ``(n,)`` int64 on the points' device: 0 background, 1..``masks`` the objects in the order in which they are
        found. There are fewer if all that is left is similar to each other.
    """
    similar = points @ points.T > tau
    labels = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    for number in range(1, masks + 1):
        free = labels == 0
        if bool(similar[free][:, free].all()):
            break  # one location, or all alike: any cut would be arbitrary
        # MaskCut sets the features of earlier objects to zero; they are then similar to nothing, even themselves.
        graph = (similar & free & free[:, None]).float().clamp(min=WEAK)
        vector = second_eigenvector(graph)
        labels[_object(vector, free, prior)] = number
    return labels


def _object(vector: Tensor, free: Tensor, prior: Prior) -> Tensor:
    """The object in one cut, ``(n,)`` bool: the part connected to the largest entry of its side of the eigenvector.

    The cut is at the mean of the ``vector``. The object takes only locations that are ``free`` of earlier ones.
    """
    size, side = vector.abs(), isqrt(len(vector))
    above = vector > vector.mean()
    inside = above == above[size.where(free, -1.0).argmax()]
    corners = inside.view(side, side)[[0, 0, -1, -1], [0, -1, 0, -1]]
    if prior == "corners" and int(corners.sum()) >= BACKGROUND_CORNERS:
        inside = ~inside
    inside = inside & free
    if not bool(inside.any()):
        return inside
    components = torch.from_numpy(label(inside.view(side, side).cpu().numpy())[0]).flatten().to(vector.device)
    return components == components[size.where(inside, -1.0).argmax()]
