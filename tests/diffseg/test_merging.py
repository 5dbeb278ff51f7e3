"""Merging against loops written from the paper, and its invariants."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffseg import anchor_grid, dbscan, kmeans, reference, segment
from diffseg.merging import Grid, Merger, NoProposals, anchor_rows
from tests.helpers.attention import blocks, smooth
from tests.helpers.waits import Waits


def naive_merge_paper(maps: Tensor, anchors: Tensor, tau: float, iterations: int) -> Tensor:
    """`reference.merge` with the paper's "without replacement": a proposal is averaged once."""
    proposals = reference.merge(maps, anchors, tau, iterations=1)
    for _ in range(iterations - 1):
        close, free, merged = reference.divergence(proposals, proposals) < tau, torch.ones(len(proposals)).bool(), []
        for index in range(len(proposals)):
            if free[index]:
                merged.append(proposals[close[index] & free].mean(dim=0))
                free &= ~close[index]
        proposals = torch.stack(merged)
    return proposals


@pytest.mark.parametrize("rule", ["official", "paper"])
@pytest.mark.parametrize("iterations", [1, 2, 3])
@pytest.mark.parametrize("tau", [0.05, 0.2, 0.6])
def test_merging_equals_the_reference(rule: str, iterations: int, tau: float) -> None:
    maps = blocks(noise=0.7)
    anchors = anchor_rows(8, 4, "even")
    merge = reference.merge if rule == "official" else naive_merge_paper
    expected = merge(maps.double(), anchors, tau, iterations)
    for precision in ("float32", "float64"):
        result = Merger(maps).proposals((tau,) * iterations, anchors, rule, precision)  # type: ignore[arg-type]
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("side", "anchors"), [(64, 16), (64, 8), (64, 12), (28, 16), (32, 16), (5, 5), (7, 3), (64, 1)]
)
def test_official_grid_follows_the_formula_of_the_authors(side: int, anchors: int) -> None:
    """Their formula uses numpy's linspace, and would divide by zero for M = 1."""
    if anchors == 1:
        expected = np.array([(side - 1) // 2])
    else:
        step = (side - 1) // (anchors - 1)
        start = (side - 1 - step * (anchors - 1)) // 2
        expected = np.linspace(start, step * (anchors - 1) + start, anchors).astype(int)
    grid = anchor_grid(side, anchors)
    assert grid.dtype == torch.int64
    np.testing.assert_array_equal(grid[:, 0].view(anchors, anchors)[:, 0], expected)
    np.testing.assert_array_equal(grid[:, 1].view(anchors, anchors)[0], expected)


@given(st.integers(1, 80).flatmap(lambda side: st.tuples(st.just(side), st.integers(1, side))))
def test_even_grid_covers_the_side(case: tuple[int, int]) -> None:
    side, anchors = case
    line = anchor_grid(side, anchors, "even")[:anchors, 1].tolist()
    assert line == [int((i + 0.5) * side / anchors) for i in range(anchors)]
    assert 0 <= line[0] <= side / anchors
    assert side - side / anchors - 1 <= line[-1] < side
    assert all(a < b for a, b in pairwise(line))


@given(st.integers(0, 500), st.integers(1, 6), st.floats(0.01, 3), st.integers(1, 4), st.integers(3, 40))
@settings(max_examples=40, deadline=None)
def test_labels_cover_the_picture(seed: int, anchors: int, tau: float, iterations: int, size: int) -> None:
    maps = blocks(6, 1.0, seed)
    labels = segment(maps, tau, anchors, iterations, grid="even", size=size)
    proposals = Merger(maps).proposals((tau,) * iterations, anchor_rows(6, anchors, "even"))
    assert labels.shape == (size, size)
    assert 0 <= int(labels.min()) <= int(labels.max()) < len(proposals) <= anchors**2


def test_float32_decides_near_ties_as_float64() -> None:
    """The threshold lies right above or below a divergence, far closer than the rounding of float32."""
    maps = blocks(8, 1.0)
    anchors = torch.arange(64)
    exact = Merger(maps).divergence(anchors, "float64")
    for pair in range(3, 60, 6):
        tau = float(exact[pair, (pair * 5) % 64]) * (1 + (-1) ** pair * 1e-10)
        wide, narrow = (Merger(maps).proposals((tau,) * 3, anchors, "official", it) for it in ("float64", "float32"))  # type: ignore[arg-type]
        np.testing.assert_allclose(narrow.numpy(), wide.numpy(), rtol=1e-5)


def test_float16_finds_no_proposals_if_every_map_underflows() -> None:
    with pytest.raises(NoProposals, match="float16"):
        segment(torch.eye(64), 0.5, 4, precision="float16", grid="even")
    assert segment(torch.eye(64), 0.5, 4, grid="even").max() == 15


@pytest.mark.parametrize(("side", "grid"), [(8, "even"), (32, "even"), (64, "official")])
def test_the_default_grid_depends_on_the_side(side: int, grid: Grid) -> None:
    other: Grid = "even" if grid == "official" else "official"
    assert not torch.equal(anchor_grid(side, 5), anchor_grid(side, 5, "even"))
    maps = smooth(side, 3)
    labels = segment(maps, 0.02, 5, size=side)
    assert torch.equal(labels, segment(maps, 0.02, 5, grid=grid, size=side))
    assert not torch.equal(labels, segment(maps, 0.02, 5, grid=other, size=side))


def test_each_iteration_may_have_its_threshold() -> None:
    maps = blocks(8, 1.0)
    once = segment(maps, (0.4,), 4, 1, grid="even", size=16)
    assert torch.equal(once, segment(maps, 0.4, 4, 1, grid="even", size=16))
    # A later threshold that merges all leaves one segment.
    assert segment(maps, (0.2, 50.0), 4, 2, grid="even", size=16).max() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tau": 0.0}, "tau: must be above 0"),
        ({"tau": float("nan")}, "tau: must be a finite number"),
        ({"tau": (0.1, 0.2)}, "tau: need one value, or one for each of the 3"),
        ({"anchors": 0}, "anchors: must be at least 1"),
        ({"anchors": 9}, "anchors: must be 1..8"),
        ({"iterations": 0}, "iterations: must be at least 1"),
        ({"rule": "best"}, "rule: input should be"),
        ({"precision": "int8"}, "precision: input should be"),
        ({"grid": "random"}, "grid: input should be"),
        *(
            ({"size": size}, "size: must be a whole number of pixels, at least 1")
            for size in (0, 5.5, (4, 0), (4, 5, 6))
        ),
        ({"refine": "pamr"}, "refine: input should be 'none' or 'kmeans', got 'pamr'"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        segment(blocks(), **{"tau": 0.5, "anchors": 4, **arguments})  # type: ignore[arg-type]


def test_many_near_ties_need_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The maps differ only by rounding, so every pair is decided again, a few pairs at a time."""
    monkeypatch.setattr("diffseg.divergence.PAIRS_AT_ONCE", 7)
    maps = torch.full((64, 64), 1 / 64)
    assert segment(maps, 1e-6, 8, grid="even", size=8).unique().tolist() == [0]


def test_empty_clusters_leave_the_others_as_they_are() -> None:
    """Refinement starts with more proposals than there are different maps, so some clusters are empty."""
    maps = torch.eye(4).repeat_interleave(16, dim=0).repeat_interleave(16, dim=1) / 16
    labels = segment(maps, 0.1, 8, iterations=1, grid="even", size=8, refine="kmeans")
    assert len(labels.unique()) == 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_input_of_other_dtypes_with_a_graph_stays_as_it_is(dtype: torch.dtype) -> None:
    maps = blocks().to(dtype).requires_grad_()
    before = maps.detach().clone()
    for labels in (
        segment(maps, 0.5, 4, grid="even", size=5),
        segment(maps, 0.5, 4, grid="even", size=5, refine="kmeans"),
        kmeans(maps, 4, size=5, n_init=1),
        dbscan(maps, 0.2, 4, size=5, noise="nearest"),
    ):
        assert labels.shape == (5, 5)
        assert not labels.requires_grad
    assert torch.equal(maps, before)


def test_the_cpu_rarely_waits_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits once for the near ties of the first iteration, and once for the divergences of each later one."""
    maps = blocks()
    expected = segment(maps, 0.5, 4, grid="even", size=32)
    with Waits(monkeypatch) as waits:
        labels = segment(maps, 0.5, 4, grid="even", size=32)
    assert waits.counts == {"nonzero": 1, "cpu": 2}
    assert torch.equal(labels, expected)


def test_infinite_values_are_refused_for_any_number_of_iterations() -> None:
    for value in (torch.inf, -torch.inf, torch.nan):
        for iterations in (1, 2):
            maps = blocks()
            maps[3, 3] = value
            for precision in ("float32", "float64", "float16"):
                with pytest.raises(ValueError, match="aggregated: holds NaN or infinite values"):
                    segment(maps, 0.5, 4, iterations, precision=precision, grid="even")  # type: ignore[arg-type]
