"""Boundaries in the attention against the formula in loops."""

from __future__ import annotations

import numpy as np
import torch

from diffseg.segmenters.watershed import boundary_divergence
from tests.helpers.attention import blocks, smooth


def test_the_formula_in_loops() -> None:
    maps = smooth(5, 0)
    walk = maps.double().numpy().reshape(5, 5, 25)

    def divergence(p: np.ndarray, q: np.ndarray) -> float:
        return float((p * np.log(p / q)).sum() + (q * np.log(q / p)).sum()) / 2

    expected = np.zeros((5, 5))
    for row in range(5):
        for column in range(5):
            up, down, left, right = max(row - 1, 0), min(row + 1, 4), max(column - 1, 0), min(column + 1, 4)
            expected[row, column] = divergence(walk[up, column], walk[down, column])
            expected[row, column] += divergence(walk[row, left], walk[row, right])
    np.testing.assert_allclose(boundary_divergence(maps).numpy(), expected, rtol=1e-3, atol=1e-6)


def test_boundaries_lie_between_regions_and_zeros_are_safe() -> None:
    edges = boundary_divergence(blocks(8, 0.1))
    assert edges[3:5].min() > 4 * edges[:3, :3].max()
    assert bool(boundary_divergence(torch.eye(16)).isfinite().all())
