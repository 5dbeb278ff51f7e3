"""Attention as a Markov chain, against dense linear algebra and a walk that is simulated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from diffseg import reference
from diffseg.aggregation import Aggregation, aggregate
from diffseg.attention import AttentionMaps
from diffseg.chains import anchors_by_rank, token_rank, two_bounces
from diffseg.merging import Merger, anchor_grid, anchor_rows
from diffseg.segmenters.base import Scene, resolve
from diffseg.segmenters.dbscan import DBSCAN
from diffseg.segmenters.diffcut import DiffCut
from diffseg.segmenters.diffseg import DiffSeg
from tests.helpers.attention import blocks, smooth


def test_two_bounces_are_two_steps_of_a_walk() -> None:
    maps = smooth(4, 0)
    walk = maps.double().numpy()
    expected = [[sum(walk[i, k] * walk[k, j] for k in range(16)) for j in range(16)] for i in range(16)]
    np.testing.assert_allclose(two_bounces(maps).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.5, 0.99])
def test_token_rank_is_the_eigenvector_of_its_chain(alpha: float) -> None:
    walk = torch.rand(30, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 8
    walk /= walk.sum(dim=1, keepdim=True)
    values, vectors = np.linalg.eig((alpha * walk + (1 - alpha) / 30).T.numpy())
    expected = vectors[:, values.real.argmax()].real
    np.testing.assert_allclose(token_rank(walk, alpha).numpy(), expected / expected.sum(), atol=1e-4)


def test_anchors_are_the_highest_ranks_of_the_cells() -> None:
    maps = smooth(7, 1)
    rank, side = token_rank(maps), 7
    best: dict[int, int] = {}
    for location in range(side * side):  # three cells along a side of seven: the middle ones are narrower
        row, column = ((2 * at + 1) * 3 // (2 * side) for at in divmod(location, side))
        cell = 3 * row + column
        if cell not in best or rank[location] > rank[best[cell]]:
            best[cell] = location
    assert anchors_by_rank(maps, 3).tolist() == [best[cell] for cell in range(9)]


def test_as_many_anchors_as_locations_are_all_of_them() -> None:
    grid = anchor_grid(5, 5, "even")
    assert anchors_by_rank(smooth(5, 2), 5).tolist() == (grid[:, 0] * 5 + grid[:, 1]).tolist()


def test_two_bounces_follow_the_aggregation() -> None:
    maps = {8: smooth(8, 0), 4: smooth(4, 1)}
    once = aggregate(maps).double().numpy()
    for twice in (aggregate(maps, bounces=2), Aggregation(bounces=2)(AttentionMaps(maps, {8: 1, 4: 1}))):
        np.testing.assert_allclose(twice.numpy(), once @ once, rtol=1e-5)
    with pytest.raises(ValueError, match=r"^bounces: "):
        aggregate(maps, bounces=3)  # type: ignore[arg-type]


def test_merging_starts_at_the_ranked_anchors() -> None:
    maps = blocks(8, 0.7)
    expected = reference.merge(maps.double(), anchors_by_rank(maps, 4), 0.2, 3)
    merger = Merger(maps)
    np.testing.assert_allclose(merger.proposals((0.2,) * 3, merger.ranked(4)).numpy(), expected, rtol=1e-5)
    assert not torch.equal(merger.ranked(4), anchor_rows(8, 4, "even"))
    rows = [DiffSeg(0.2, 4, grid="even", anchors_by=by) for by in ("grid", "rank", "grid")]
    scene = Scene(aggregated=maps, size=(20, 20))
    for together, row in zip(DiffSeg.segment_all(scene, rows), rows, strict=True):
        assert torch.equal(together, row(scene))


def test_values_tuned_for_one_bounce_are_refused_for_two() -> None:
    tuned = {"diffseg": {"tau": 0.3}, "dbscan": {"eps": 0.1, "min_samples": 5}, "diffcut": {"tau": 0.4}}
    spec = cast(Any, SimpleNamespace(sides=(32,), tuned=tuned))
    for segmenter, name in ((DiffSeg(), "tau"), (DBSCAN(), "eps"), (DiffCut(input="attention"), "tau")):
        with pytest.raises(ValueError, match=rf"^{name}: is tuned for attention with aggregation.bounces=1; give one"):
            resolve(segmenter, spec, bounces=2)
    assert resolve(DiffSeg(0.05), spec, bounces=2).tau == 0.05
    assert resolve(DiffCut(), spec, bounces=2).tau == 0.4  # it reads features
