"""Normalised cuts against exhaustive search and dense eigenvectors, and on planted partitions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.linalg import eigh
from torch import Tensor

from diffseg.segmenters import graphs, ncut
from diffseg.segmenters.base import Scene
from diffseg.segmenters.diffcut import DiffCut
from diffseg.segmenters.graphs import second_eigenvector
from diffseg.segmenters.ncut import CutTree, NCut, bipartition, cut_values
from tests.helpers.attention import smooth
from tests.helpers.cuts import naive_cut, planted, same_parts


def recursive_cut(affinity: Tensor, tau: float) -> Tensor:
    return CutTree(affinity).labels(tau)


def auto_threshold(affinity: Tensor) -> float:
    return CutTree(affinity).stable_threshold()


def test_cut_values_follow_their_definition() -> None:
    affinity, _ = planted((3, 4))
    sides = [list(side) for side in product([False, True], repeat=7) if 0 < sum(side) < 7]
    expected = [naive_cut(affinity, side) for side in sides]
    torch.testing.assert_close(cut_values(affinity, torch.tensor(sides)), torch.tensor(expected))


@pytest.mark.parametrize("dense", [0, 10_000])
def test_second_eigenvector_equals_scipy(monkeypatch: pytest.MonkeyPatch, dense: int) -> None:
    monkeypatch.setattr(graphs, "DENSE", dense)
    for affinity in (planted((20, 30, 25))[0], (smooth(12, 3) + smooth(12, 3).T) / 2):
        degrees = np.diag(affinity.double().sum(dim=1).numpy())
        values, vectors = eigh(degrees - affinity.double().numpy(), degrees)
        assert values[2] - values[1] > 0.01  # else any vector of the plane would do
        expected = torch.from_numpy(vectors[:, 1]).float()
        vector = second_eigenvector(affinity)
        assert float(torch.cosine_similarity(vector, expected, dim=0).abs()) > 1 - 1e-5


def test_a_graph_in_two_pieces_is_cut_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    affinity, groups = planted((30, 50), between=0.0)
    for dense in (0, 10_000):
        monkeypatch.setattr(graphs, "DENSE", dense)
        side, value = bipartition(affinity)
        assert value == pytest.approx(0, abs=1e-6)
        assert same_parts(side.long(), groups)


@pytest.mark.parametrize("sizes", [(12, 12), (5, 40, 9), (70, 80, 90, 100), (30,)])
def test_planted_groups_are_found(sizes: tuple[int, ...]) -> None:
    affinity, groups = planted(sizes)
    labels = recursive_cut(affinity, 0.5)
    assert same_parts(labels, groups)
    assert labels.unique().tolist() == list(range(len(sizes)))


def test_scale_and_order_do_not_matter() -> None:
    affinity, _ = planted((70, 40, 30), between=0.1)
    labels = recursive_cut(affinity, 0.6)
    order = torch.randperm(len(affinity), generator=torch.Generator().manual_seed(4))
    assert same_parts(recursive_cut(affinity * 1000, 0.6), labels)
    assert same_parts(recursive_cut(affinity[order][:, order], 0.6), labels[order])


def test_an_eigenvector_of_one_sign_still_cuts_and_a_constant_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ncut, "second_eigenvector", lambda affinity: torch.linspace(1, 2, len(affinity)).sqrt())
    affinity, _ = planted((8, 8))
    side, value = bipartition(affinity)
    assert 0 < int(side.sum()) < 16
    assert value == pytest.approx(naive_cut(affinity, side.tolist()), rel=1e-5)
    monkeypatch.setattr(ncut, "second_eigenvector", lambda affinity: torch.ones(len(affinity)))
    assert bipartition(affinity)[1] == float("inf")
    assert recursive_cut(affinity, 3.0).unique().tolist() == [0]


@pytest.mark.parametrize("power", [1, 3])
def test_the_cosine_graph_holds_the_cosines_of_the_rows_of_the_walk(power: int) -> None:
    """The test multiplies out the walk and computes one cosine at a time."""
    maps = smooth(6, 2)
    steps = maps.double().numpy()
    for _ in range(power - 1):
        steps = steps @ maps.double().numpy()
    graph = [[a @ b / np.sqrt((a @ a) * (b @ b)) for b in steps] for a in steps]
    expected = recursive_cut(torch.tensor(np.array(graph)).float(), 0.9)
    labels = NCut(0.9, power, "nearest", graph="cosine")(Scene(aggregated=maps, size=(6, 6)))
    assert len(expected.unique()) > 1
    assert same_parts(labels.flatten(), expected)


@pytest.mark.parametrize(("seed", "segments"), [(0, 5), (2, 2), (19, 2), (279, 3), (399, 4)])
def test_the_automatic_threshold_is_in_the_widest_range_of_all(seed: int, segments: int) -> None:
    """The test cuts at all multiples of a step up to 1, and finds the longest run of equal labels.

    With the last three seeds, a cut costs less than the one above it.
    """
    noise = torch.rand(12, 12, generator=torch.Generator().manual_seed(seed)) ** 6
    affinity, step = noise + noise.T, 0.004
    runs: list[tuple[Tensor, list[float]]] = []
    for threshold in np.arange(step, 1, step):
        labels = recursive_cut(affinity, threshold)
        if not runs or not torch.equal(labels, runs[-1][0]):
            runs.append((labels, []))
        runs[-1][1].append(threshold)
    runs = [run for run in runs if len(run[0].unique()) > 1]
    second, longest = sorted(runs, key=lambda run: len(run[1]))[-2:]
    assert len(longest[1]) > len(second[1]) + 1  # else the step is too long
    tau = auto_threshold(affinity)
    assert tau == pytest.approx((longest[1][0] + longest[1][-1]) / 2, abs=step)
    assert torch.equal(recursive_cut(affinity, tau), longest[0])
    assert len(longest[0].unique()) == segments


@pytest.mark.parametrize("between", [0.0, 0.02, 0.3])
def test_the_automatic_threshold_finds_planted_groups(between: float) -> None:
    """A fixed one has to follow the weights between the groups: with 0.3, a cut at 0.5 finds none."""
    affinity, groups = planted((30, 40, 50, 35), between=between)
    assert same_parts(recursive_cut(affinity, auto_threshold(affinity)), groups)
    assert (len(recursive_cut(affinity, 0.5).unique()) == 4) == (between < 0.3)


def test_each_cut_is_computed_once_and_only_if_a_threshold_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    affinity, groups = planted((20, 30, 25), between=0.05)
    calls: list[int] = []
    monkeypatch.setattr(ncut, "bipartition", lambda part: (calls.append(len(part)), bipartition(part))[1])  # type: ignore[func-returns-value]
    tree = CutTree(affinity)
    assert same_parts(tree.labels(tree.stable_threshold()), groups)
    assert len(calls) < len(affinity) / 5  # cutting down to single nodes takes as many cuts as there are nodes
    before = len(calls)
    assert len(tree.labels(2.1).unique()) == len(affinity)
    assert before < len(calls) == len(affinity) - 1
    tree.labels(0.5)
    assert len(calls) == len(affinity) - 1


def test_a_graph_without_structure_stays_whole() -> None:
    for nodes in (1, 2, 9, 100):
        affinity = torch.ones(nodes, nodes)
        assert auto_threshold(affinity) == 1
        assert recursive_cut(affinity, auto_threshold(affinity)).unique().tolist() == [0]


def test_rows_that_read_one_graph_share_its_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    features = F.normalize(torch.randn(64, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    image = 255 * torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1))
    scene = Scene(aggregated=smooth(8, 2), features=features, image=image, size=(20, 30))
    cutting = [
        *(NCut(0.7), NCut(0.8, upsample="nearest"), NCut(threshold="auto"), NCut(0.7, refine="pamr")),
        *(NCut(0.8, power=2), NCut(0.95, graph="cosine"), NCut(0.8, input="features")),
    ]
    of_features = [*(DiffCut(tau, assign=16) for tau in (0.5, 0.7, 0.9)), DiffCut(0.7, 5), DiffCut(0.7, refine="pamr")]
    for rows, whole in ((cutting, 4), (of_features, 2)):
        alone = [row(scene) for row in rows]
        cut: list[int] = []
        monkeypatch.setattr(ncut, "bipartition", lambda part, cut=cut: (cut.append(len(part)), bipartition(part))[1])
        for together, expected in zip(type(rows[0]).segment_all(scene, rows), alone, strict=True):  # type: ignore[arg-type]
            assert torch.equal(together, expected)
        assert cut.count(64) == whole  # a graph is cut once as a whole
        assert len({tuple(labels.flatten().tolist()) for labels in alone}) > 2
