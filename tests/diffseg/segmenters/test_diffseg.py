"""DiffSeg as a segmenter: its settings, and the function it calls."""

from __future__ import annotations

import torch

from diffseg import segment
from diffseg.segmenters.base import Scene
from diffseg.segmenters.diffseg import DiffSeg
from tests.helpers.attention import blocks


def test_the_grid_is_official_at_the_published_side() -> None:
    assert DiffSeg().resolved(64, {"tau": 1.1}).grid == "official"
    assert DiffSeg(grid="official").resolved(28, {"tau": 1.1}).grid == "official"


def test_the_segmenter_calls_the_function() -> None:
    maps = blocks(8, 1.0)
    resolved = DiffSeg(anchors=4).resolved(8, {"tau": 0.4})
    assert (resolved.tau, resolved.grid) == (0.4, "even")
    assert torch.equal(resolved(Scene(aggregated=maps, size=(20, 20))), segment(maps, 0.4, 4, grid="even", size=20))
