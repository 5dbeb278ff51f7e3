"""p-Laplacian smoothing against its energy and in loops; the joining against SciPy's and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from diffseg.divergence import symmetric_kl
from diffseg.masks import labels_from_proposals
from diffseg.segmenters import diffuse2seg
from diffseg.segmenters.base import Scene
from diffseg.segmenters.diffuse2seg import LEVELS, Diffuse2Seg, propagate
from tests.helpers.attention import blocks, quarters, smooth
from tests.helpers.cuts import naive_linkage, same_parts


def naive_step(walk: Tensor, seed: int, maps: np.ndarray, p: float) -> np.ndarray:
    """A Gauss-Jacobi step of one map, entry by entry."""
    weights, n = walk.double().numpy(), len(walk)
    gradient = [
        max(1e-8, np.sqrt(sum(weights[i, j] * (maps[j] - maps[i]) ** 2 for j in range(n)))) ** (p - 2) for i in range(n)
    ]
    new = np.empty(n)
    for i in range(n):
        pull = [weights[i, j] * (gradient[i] + gradient[j]) for j in range(n)]
        new[i] = (1e-5 * (i == seed) + np.dot(pull, maps)) / (1e-5 + sum(pull))
    return new


@pytest.mark.parametrize("p", [1.2, 1.6, 2.0])
def test_steps_equal_loops(p: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffuse2seg, "SETTLED", 0.0)
    walk = smooth(4, 0).double()
    for steps in (1, 5):
        smoothed = propagate(walk, torch.tensor([3, 10]), p, steps)
        for row, seed in enumerate((3, 10)):
            maps = np.eye(16)[seed]
            for _ in range(steps):
                maps = naive_step(walk, seed, maps, p)
            np.testing.assert_allclose(smoothed[row].numpy(), maps, rtol=1e-6)


def test_linear_diffusion_ends_where_the_equations_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffuse2seg, "SETTLED", 1e-22)
    monkeypatch.setattr(diffuse2seg, "ANCHOR_WEIGHT", 0.1)
    walk = smooth(4, 1).double()
    # lambda (f - f0) + 2 (f - A f) = 0, for rows of sum 1
    expected = torch.linalg.solve(
        2.1 * torch.eye(16, dtype=torch.float64) - 2 * walk, 0.1 * torch.eye(16).double()[:, [5]]
    )
    torch.testing.assert_close(propagate(walk, torch.tensor([5]), 2.0, 5000)[0], expected[:, 0], rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("tau", [0.0005, 0.002, 0.02])
def test_maps_are_joined_as_by_hand(tau: float) -> None:
    maps = propagate(smooth(5, 0), torch.arange(25), 1.6, 3)
    maps /= maps.sum(dim=1, keepdim=True)
    expected = naive_linkage(symmetric_kl(maps, maps), tau)
    means = torch.stack([maps[expected == number].mean(dim=0) for number in expected.unique()])
    segmenter = Diffuse2Seg(tau, seeds=5, iterations=3, attention_threshold=0)
    labels = segmenter(Scene(aggregated=smooth(5, 0), size=(20, 20)))
    assert same_parts(labels.flatten(), labels_from_proposals(means, 20).flatten())


def test_the_quarters_are_found() -> None:
    labels = Diffuse2Seg(0.1, seeds=8)(Scene(aggregated=blocks(8, 0.1), size=(8, 8)))
    assert same_parts(labels.flatten(), quarters(8))


def test_rows_that_differ_in_tau_share_the_linkage(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, rows = (
        Scene(aggregated=smooth(8, 0), size=(16, 16)),
        [Diffuse2Seg(tau, seeds=4, attention_threshold=0) for tau in (0.001, *LEVELS)],
    )
    alone = [row(scene) for row in rows]
    calls = []
    monkeypatch.setattr(diffuse2seg, "propagate", lambda *given: (calls.append(given), propagate(*given))[1])
    together = list(Diffuse2Seg.segment_all(scene, [*rows, Diffuse2Seg(0.001, seeds=3, attention_threshold=0)]))
    assert len(calls) == 2
    for row, label_map in zip(alone, together, strict=False):
        assert torch.equal(row, label_map)
    assert len(alone[0].unique()) > len(alone[-1].unique()) == 1


def test_weak_attention_is_dropped() -> None:
    """Only the strongest entry of each row is left: every location keeps to itself."""
    scene = Scene(aggregated=(torch.eye(16) + 0.01).div(1.16), size=(4, 4))
    assert len(Diffuse2Seg(1.0, seeds=4, attention_threshold=0.5)(scene).unique()) == 16
    assert len(Diffuse2Seg(1.0, seeds=1, attention_threshold=0)(scene).unique()) == 1
