"""The method in its shortest form, against the fast functions."""

from __future__ import annotations

import torch

from diffseg import aggregate, anchor_grid, reference, segment
from tests.helpers.attention import blocks


def test_segments_are_those_of_the_reference() -> None:
    maps = {8: blocks(8, 1.0), 4: blocks(4, 1.0, seed=1)}
    aggregated = reference.aggregate(maps)
    torch.testing.assert_close(aggregate(maps), aggregated)
    rows, columns = anchor_grid(8, 4, "even").T
    expected = reference.masks(reference.merge(aggregated.double(), rows * 8 + columns, 0.2, 3), 32)
    assert len(expected.unique()) > 2
    assert torch.equal(segment(aggregated, 0.2, 4, size=32), expected)
