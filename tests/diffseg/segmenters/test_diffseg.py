"""DiffSeg as a segmenter: its settings, and the function it calls."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from diffseg import segment
from diffseg.segmenters.base import Scene
from diffseg.segmenters.diffseg import DiffSeg
from tests.helpers.attention import blocks


def test_the_grid_is_official_at_the_published_side() -> None:
    assert DiffSeg().resolved(64, {"tau": 1.1}).grid == "official"
    assert DiffSeg(grid="official").resolved(28, {"tau": 1.1}).grid == "official"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DiffSeg().resolved(32, {}), "tau: no value is tuned"),
        (lambda: DiffSeg(anchors=40).resolved(32, {"tau": 0.3}), "anchors: must be 1..32"),
    ],
)
def test_values_out_of_range_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_the_segmenter_calls_the_function() -> None:
    maps = blocks(8, 1.0)
    resolved = DiffSeg(anchors=4).resolved(8, {"tau": 0.4})
    assert (resolved.tau, resolved.grid) == (0.4, "even")
    assert torch.equal(resolved(Scene(aggregated=maps, size=(20, 20))), segment(maps, 0.4, 4, grid="even", size=20))
