"""AutoSC against its definition in loops, in plain NumPy, and against scikit-learn's clustering of eigenvectors.

`FROM_THE_AUTHORS` holds what the authors' code printed (github.com/PaulCouairon/DiffCut, diffcut/autosc.py).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.cluster import SpectralClustering
from torch import Tensor

from diffseg.segmenters import autosc
from diffseg.segmenters.autosc import ALPHAS, Spectrum, auto_clusters, cluster_qr, relative_gaps
from diffseg.segmenters.graphs import affinity_of
from tests.helpers.attention import regions, smooth
from tests.helpers.cuts import same_parts

FROM_THE_AUTHORS = [
    # Arguments of `noisy_groups`, the number of clusters that alpha 15 alone would give, and the labels.
    ((8, 3, 0.6, 41), 3, "111111111111222222222222000000202002"),
    ((6, 3, 0.6, 10), 11, "111111111111000000020000222222222222"),
]


def spectrum(weights: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues and vectors of ``(D - W) y = lambda D y``, as scipy gives them."""
    degrees = np.diag(weights.double().sum(dim=1).numpy())
    values, vectors = eigh(degrees - weights.double().numpy(), degrees)
    return values, vectors


def naive_gap(values: NDArray[np.float64]) -> tuple[float, int]:
    best = (-np.inf, -1)
    for index in range(len(values)):
        mean = sum(values[: index + 1]) / (index + 1)
        best = max(best, ((values[index] - mean) / (mean + 1e-6), index), key=lambda pair: pair[0])
    return best


def test_the_largest_gap_equals_a_loop() -> None:
    values = np.sort(np.random.default_rng(0).random(20))
    gaps = relative_gaps(values)
    assert (gaps.max(), gaps.argmax()) == (pytest.approx(naive_gap(values)[0]), naive_gap(values)[1])
    assert relative_gaps(np.array([0, 0.01, 0.02, 0.9, 0.95])).argmax() == 3


@pytest.mark.parametrize("clusters", [2, 3, 5])
def test_cluster_qr_equals_scikit_learn(clusters: int) -> None:
    affinity = affinity_of(F.normalize(regions(9, 0.6, seed=clusters)[0], dim=1), 10).double()
    affinity.fill_diagonal_(0)  # scikit-learn leaves a node's edge to itself out of its degree
    options = {"affinity": "precomputed", "assign_labels": "cluster_qr", "random_state": 0}
    expected = SpectralClustering(clusters, **options).fit_predict(affinity.numpy())
    labels = cluster_qr(spectrum(affinity)[1][:, :clusters])
    assert same_parts(torch.from_numpy(labels), torch.from_numpy(expected))


def weak_groups() -> Tensor:
    """Three groups with weak edges inside and a few stronger ones across. The last alpha hides the groups."""
    generator = torch.Generator().manual_seed(28)
    groups = torch.arange(18) // 6
    inside, noise = torch.rand(2, 18, 18, generator=generator)
    affinity = (groups[:, None] == groups) * (0.1 + 0.2 * inside) + 0.002 * noise
    rows, columns = torch.randint(0, 18, (2, 3), generator=generator)
    affinity[rows, columns] = 0.35
    affinity = torch.maximum(affinity, affinity.T)
    return affinity.fill_diagonal_(1)


def test_the_rules_differ_in_the_alpha_of_the_eigenvectors() -> None:
    affinity = weak_groups()
    gaps = [naive_gap(spectrum(affinity.double() ** alpha)[0]) for alpha in ALPHAS]
    best = max(range(len(ALPHAS)), key=lambda index: gaps[index][0])
    assert 0 < best < len(ALPHAS) - 1
    clusters = {}
    for rule, alpha in (("paper", ALPHAS[best]), ("official", ALPHAS[-1])):
        expected = cluster_qr(spectrum(affinity.double() ** alpha)[1][:, : gaps[best][1]])
        clusters[rule] = torch.from_numpy(auto_clusters(affinity, rule))  # type: ignore[arg-type]
        assert same_parts(clusters[rule], torch.from_numpy(expected))
    assert not same_parts(clusters["paper"], clusters["official"])


def noisy_groups(channels: int, groups: int, noise: float, seed: int) -> NDArray[np.float64]:
    """Features of 36 locations: the centre of one of the groups, and noise."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((groups, channels))
    return centres[np.arange(36) * groups // 36] + noise * generator.standard_normal((36, channels))


def numpy_autosc(features: NDArray[np.float64], rule: str) -> tuple[NDArray[np.int64], int, list[int]]:
    """AutoSC step by step. Returns labels, the chosen alpha, and the number of clusters that each alpha would give."""
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = units @ units.T
    affinity = (cosine - cosine.min()) / (cosine.max() - cosine.min())
    largest, counts = 0.0, []
    for alpha in (1, 5, 10, 15):
        graph = affinity**alpha
        root = np.sqrt(graph.sum(axis=1))
        values, vectors = np.linalg.eigh(np.eye(len(graph)) - graph / np.outer(root, root))
        vectors /= root[:, None]
        gap, clusters = naive_gap(values)
        counts.append(clusters)
        if gap > largest:
            largest, best, best_clusters, best_vectors = gap, alpha, clusters, vectors
    used = (best_vectors if rule == "paper" else vectors)[:, :best_clusters]

    # QR with column pivoting takes the longest row, then the longest remainder outside the rows taken so far.
    remainder, pivots = used.copy(), []
    for _ in range(best_clusters):
        lengths = np.linalg.norm(remainder, axis=1)
        pivots.append(int(lengths.argmax()))
        direction = remainder[pivots[-1]] / lengths.max()
        remainder = remainder - np.outer(remainder @ direction, direction)
    left, _, right = np.linalg.svd(used[pivots].T)
    return np.abs(used @ left @ right).argmax(axis=1), best, counts


@pytest.mark.parametrize(("features", "of_the_last", "labels"), FROM_THE_AUTHORS)
def test_official_gives_the_labels_of_the_authors_code_where_the_rules_differ(
    features: tuple[int, int, float, int], of_the_last: int, labels: str
) -> None:
    points = noisy_groups(*features)
    affinity = affinity_of(F.normalize(torch.from_numpy(points), dim=1), 1.0)
    clusters = {}
    for rule in ("paper", "official"):
        expected, alpha, counts = numpy_autosc(points, rule)
        assert (alpha, counts[2], counts[3]) == (10, 3, of_the_last)
        clusters[rule] = auto_clusters(affinity, rule)  # type: ignore[arg-type]
        np.testing.assert_array_equal(clusters[rule], expected)
    assert "".join(map(str, clusters["official"])) == labels
    assert not same_parts(torch.from_numpy(clusters["paper"]), torch.from_numpy(clusters["official"]))


def large_graphs() -> dict[str, Tensor]:
    """Graphs of a few hundred nodes: noisy groups, and equal groups, whose eigenvalues are multiple."""
    noise = torch.rand(400, 400, generator=torch.Generator().manual_seed(0))
    copies = torch.block_diag(*[(noise[:50, :50] + noise[:50, :50].T) / 2] * 8).fill_diagonal_(1)
    return {
        "smooth": affinity_of(F.normalize(smooth(20, 0), dim=1), 1.0),
        "regions": affinity_of(F.normalize(regions(20, 0.6)[0], dim=1), 1.0),
        "noise": ((noise + noise.T) / 2).fill_diagonal_(1),
        "copies": copies,
        "copies and noise": (copies + 1e-3 * (noise + noise.T)).clamp(max=1),
    }


@pytest.mark.parametrize("name", large_graphs())
@pytest.mark.parametrize("rule", ["paper", "official"])
def test_a_few_eigenvalues_give_the_clusters_of_all(
    name: str, rule: autosc.EigenRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = large_graphs()[name]
    clusters = auto_clusters(graph, rule)
    monkeypatch.setattr(autosc, "KEPT", ())
    # Equal groups may be numbered in another order.
    assert same_parts(torch.from_numpy(clusters), torch.from_numpy(auto_clusters(graph, rule)))


def test_a_missing_copy_of_an_eigenvalue_is_noticed() -> None:
    graph = large_graphs()["noise"].double().numpy()
    spectrum = Spectrum(graph)
    spectrum.extend()
    assert len(spectrum.values) == autosc.KEPT[0]
    assert spectrum.prove()
    torn = Spectrum(graph)
    torn.extend()
    assert torn._vectors is not None
    torn._keep(np.delete(torn.values, 4), np.delete(torn._vectors, 4, axis=1))
    assert not torn.prove()
    torn.extend()
    np.testing.assert_allclose(torn.values, spectrum_of(graph), atol=1e-12)


def spectrum_of(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    degrees = np.diag(weights.sum(axis=1))
    values: NDArray[np.float64] = eigh(degrees - weights, degrees, eigvals_only=True)
    return values


@pytest.mark.parametrize("name", large_graphs())
def test_no_later_gap_exceeds_its_bound(name: str) -> None:
    for power in ALPHAS:
        graph = large_graphs()[name].double().numpy() ** power
        values, spectrum = spectrum_of(graph), Spectrum(graph)
        gaps = relative_gaps(values)
        while not spectrum.complete:
            assert (values < spectrum.floor).sum() <= (spectrum.values < spectrum.floor).sum()
            for floor in (spectrum.floor, spectrum.values[-1]):
                later = gaps[(spectrum.values <= max(floor, spectrum.floor)).sum() :].max()
                assert later <= spectrum.largest_later_gap(floor) + 1e-9
            spectrum.extend()
