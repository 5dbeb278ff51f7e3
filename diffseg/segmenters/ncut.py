"""Recursive normalised cuts (Shi and Malik, PAMI 2000) of the attention, read as a random walk between locations.

It follows Ivanova et al., *Unsupervised Segmentation by Diffusing, Walking and Cutting* (arXiv 2412.04678), with the
walk of k steps and both of their graphs. Their rule for an automatic threshold could not be read; that of
`CutTree.stable_threshold` is this project's own. `diffseg.segmenters.diffcut` cuts features with the same recursion.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from diffseg.limits import Count, Positive
from diffseg.masks import UpsampleSetting, to_pixels
from diffseg.segmenters.base import CheckedSegmenter, Refinable, Scene
from diffseg.segmenters.graphs import TINY, WalkInput, second_eigenvector, walk_of

Graph = Literal["walk", "cosine"]
"""Weight of the edge between two locations of a walk P: ``walk``: (P + P^T) / 2; ``cosine``: cosine of their rows."""

Threshold = Literal["fixed", "auto"]
"""``fixed``: the same tau for all pictures; ``auto``: `CutTree.stable_threshold` for each picture."""

# Number of evenly spaced thresholds tried on the eigenvector, between these fractions of its extremes (DiffCut's code).
THRESHOLDS = 100
REACH = 0.99

NO_STRUCTURE = 1.0  # value of every cut of a graph whose edges are all equal


@dataclass(eq=False)
class _Part:
    """Some nodes of a graph."""

    members: Tensor  # (m,) int64 numbers of the nodes
    highest: float = 0.0  # the largest value of the cuts that made this part
    value: float | None = None  # value of the part's best cut, infinity for a single node; None: not computed yet
    halves: tuple[_Part, ...] = ()  # both sides of that cut; empty for a single node


class CutTree:
    """Cuts a graph in two, and each part again. A cut is computed when it is first needed, and once for all thresholds.

    Args:
        affinity: ``(n, n)`` float32, symmetric, values >= 0.
    """

    def __init__(self, affinity: Tensor) -> None:
        self._affinity = affinity
        self._whole = _Part(torch.arange(len(affinity), device=affinity.device))

    def labels(self, tau: float) -> Tensor:
        """Segments of the graph, ``(n,)`` int64 labels on the affinity's device, 0..K-1, every number used.

        A cut is made if its value is below tau. 0 cuts nothing; no cut has a value above 2.
        """
        labels = torch.zeros_like(self._whole.members)
        segments, pending = 0, [self._whole]
        while pending:
            part = pending.pop()
            if self._cut(part) < tau:
                pending += part.halves
            else:
                labels[part.members] = segments
                segments += 1
        return labels

    def stable_threshold(self) -> float:
        """The middle of the widest range of thresholds that gives the same segments.

        Ranges begin at the first cut, so that there are at least two segments, and end at 1. Parts are cut in the order
        of `_Part.highest`: a part's cuts only change segments at thresholds above that. So the search ends as soon as
        one range is as wide as all that is left below 1.

        Returns:
            The threshold; of two equally wide ranges, that of the lower. 1, which cuts nothing, if no cut has a value
            below 1.
        """
        count = itertools.count()  # orders parts of equal value
        parts = [(0.0, next(count), self._whole)]
        values: list[float] = []  # heap of the thresholds above `last` at which segments change
        last, widest, middle = NO_STRUCTURE, 0.0, NO_STRUCTURE
        while parts and (last == NO_STRUCTURE or NO_STRUCTURE - last > widest):
            part = heapq.heappop(parts)[2]
            if (value := self._cut(part)) < NO_STRUCTURE:
                changes = max(part.highest, value)
                heapq.heappush(values, changes)
                for half in part.halves:
                    heapq.heappush(parts, (changes, next(count), half))
            reached = parts[0][0] if parts else NO_STRUCTURE
            while values and values[0] <= reached:
                start, last = last, heapq.heappop(values)
                if last - start > widest:
                    widest, middle = last - start, (start + last) / 2
        return (last + NO_STRUCTURE) / 2 if NO_STRUCTURE - last > widest else middle

    def _cut(self, part: _Part) -> float:
        """Cuts a part if that was not done before. Returns the value of the cut."""
        if part.value is None:
            members, part.value = part.members, float("inf")
            if len(members) > 1:
                whole = len(members) == len(self._affinity)
                inside, part.value = bipartition(self._affinity if whole else self._affinity[members][:, members])
                highest = max(part.highest, part.value)
                part.halves = _Part(members[~inside], highest), _Part(members[inside], highest)
        return part.value


def bipartition(affinity: Tensor) -> tuple[Tensor, float]:
    """Finds the best cut of ``(n, n)``, n > 1, as in `CutTree`, along the second eigenvector.

    Returns ``(n,)`` bool, True on the side where the eigenvector is largest in magnitude; and the value of the cut,
    0..2, or infinity if no threshold separates the nodes.
    """
    vector = second_eigenvector(affinity)
    vector = vector * vector[vector.abs().argmax()].sign()
    low, high = (float(end) * REACH for end in vector.aminmax())
    sides = vector > torch.linspace(low, high, THRESHOLDS, dtype=vector.dtype, device=vector.device)[:, None]
    # In theory the eigenvector has both signs. If a node has a tiny degree, rounding may lose one of them.
    one_sided = sides.all(dim=1) | ~sides.any(dim=1)
    values = cut_values(affinity, sides).masked_fill_(one_sided, torch.inf)
    best = int(values.argmin())
    return sides[best], float(values[best])


def cut_values(affinity: Tensor, sides: Tensor) -> Tensor:
    """Normalised cut of m partitions of the nodes: cut(A, B) / vol(A) + cut(A, B) / vol(B) (Shi and Malik, Eq. 2).

    Takes the affinity ``(n, n)`` and ``(m, n)`` bool, True for the nodes in A. Returns ``(m,)`` in 0..2, of its dtype.
    """
    degree, chosen = affinity.sum(dim=1), sides.to(affinity.dtype)
    volume = chosen @ degree
    cut = (volume - ((chosen @ affinity) * chosen).sum(dim=1)).clamp_(min=0)
    return cut / volume.clamp(min=TINY) + cut / (degree.sum() - volume).clamp(min=TINY)


@dataclass(frozen=True)
class NCut(Refinable):
    """Recursive normalised cut of the aggregated attention.

    The attention P is the transition matrix of a random walk. Its k-th power, a walk of k steps, gives the graph.
    """

    finishing = CheckedSegmenter.finishing | {"tau", "threshold"}

    tau: Annotated[
        Positive, Field(description="threshold=fixed makes cuts with a value below tau, 0..2; longer walks need more")
    ] = 0.621  # tuned on CamVid with DINOv2 ViT-S/14
    power: Annotated[Count, Field(description="steps of the walk; longer walks see fewer, larger segments")] = 1
    upsample: UpsampleSetting = "soft"
    graph: Annotated[
        Graph, Field(description="mean of the walk and its transpose (walk), or cosine similarity of its rows (cosine)")
    ] = "walk"
    input: WalkInput = "attention"
    threshold: Annotated[
        Threshold, Field(description="fixed: tau for all pictures; auto: chosen for each picture, and tau is ignored")
    ] = "fixed"

    def prepare(self, scene: Scene) -> tuple[Tensor, CutTree]:
        walk = walk_of(scene, self.input)
        steps = torch.linalg.matrix_power(walk, self.power)
        if self.graph == "walk":
            return walk, CutTree((steps + steps.T) / 2)
        rows = F.normalize(steps, dim=1)
        return walk, CutTree(rows @ rows.T)

    def finish(self, prepared: tuple[Tensor, CutTree], scene: Scene) -> Tensor:
        walk, cuts = prepared
        tau = self.tau if self.threshold == "fixed" else cuts.stable_threshold()
        return to_pixels(walk, cuts.labels(tau), scene.size, self.upsample)
