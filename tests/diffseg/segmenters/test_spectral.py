"""Spectral clustering: scikit-learn's own labels, brought to pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.linalg import eigh
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.metrics import silhouette_score

from diffseg.segmenters import spectral
from diffseg.segmenters.base import Scene
from diffseg.segmenters.spectral import (
    Spectral,
    SpectralAuto,
    clusters_by_elbow,
    clusters_by_kappa,
    elbow,
    smallest_eigenpairs,
)
from tests.helpers.attention import blocks, quarters, regions, smooth
from tests.helpers.cuts import planted, same_parts


def test_spectral_is_sklearn_on_the_symmetrised_attention() -> None:
    maps = smooth(12, 2)
    affinity = (maps + maps.T).numpy() / 2
    expected = SpectralClustering(5, affinity="precomputed", random_state=3).fit_predict(affinity)
    labels = Spectral(5, seed=3, upsample="nearest")(Scene(aggregated=maps, size=(12, 12)))
    np.testing.assert_array_equal(labels.flatten().numpy(), expected)


def test_the_elbow_is_the_gap_farthest_from_the_line() -> None:
    for seed in range(5):
        values = np.sort(np.random.default_rng(seed).exponential(size=20))[::-1]
        gaps = values[:-1] - values[1:]
        first, last = np.array([1.0, gaps[0]]), np.array([19.0, gaps[-1]])
        normal = np.array([-(last - first)[1], (last - first)[0]]) / np.linalg.norm(last - first)
        distances = [abs((np.array([i + 1, gap]) - first) @ normal) for i, gap in enumerate(gaps)]
        assert elbow(values) == int(np.argmax(distances)) + 2


def test_clasp_takes_the_best_silhouette_near_the_elbow() -> None:
    graph = (smooth(9, 0) + smooth(9, 0).T).double().numpy() * 40
    values, vectors = np.linalg.eigh(graph)
    centre = elbow(values[::-1])
    best = (-np.inf, np.empty(0))
    for count in range(max(2, int(centre * 0.5)), int(np.ceil(centre * 1.5)) + 1):
        rows = vectors[:, ::-1][:, :count]
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        labels = KMeans(count, n_init=10, random_state=0).fit_predict(rows)
        best = max(best, (silhouette_score(rows, labels), labels), key=lambda pair: pair[0])
    assert same_parts(clusters_by_elbow(graph, 0), torch.from_numpy(best[1]).long())


@pytest.mark.parametrize("sizes", [(20, 30), (20, 25, 30), (15, 20, 25, 21)])
def test_kappa_counts_planted_groups(sizes: tuple[int, ...]) -> None:
    graph, number = planted(sizes, between=0.05)
    pairs = smallest_eigenpairs(graph.double().numpy())
    assert same_parts(clusters_by_kappa(pairs, 0.6, 0), number)
    assert clusters_by_kappa(pairs, 1e-9, 0).unique().tolist() == [0]


def test_rows_that_differ_in_kappa_share_the_eigenvectors(monkeypatch: pytest.MonkeyPatch) -> None:
    image = 255 * torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1))
    scene = Scene(aggregated=smooth(8, 2), features=regions(8, 0.9)[0], image=image, size=(20, 30))
    kappas = [SpectralAuto("kappa", kappa) for kappa in (0.1, 0.9, 0.97, 1)]
    rows = [*kappas, SpectralAuto("kappa", 0.97, refine="pamr"), SpectralAuto(), SpectralAuto(kappa=0.5)]
    alone = [row(scene) for row in rows]
    solved: list[int] = []
    monkeypatch.setattr(spectral, "eigh", lambda matrix, **limits: (solved.append(1), eigh(matrix, **limits))[1])
    for together, expected in zip(SpectralAuto.segment_all(scene, rows), alone, strict=True):
        assert torch.equal(together, expected)
    assert len(solved) == 2  # one for each rule
    assert len({len(labels.unique()) for labels in alone[: len(kappas)]}) > 2


def test_segments_are_found_in_features_and_in_attention() -> None:
    features, stripe = regions(8, 0.2)
    points = F.normalize(features, dim=1)
    expected = clusters_by_elbow((points @ points.T).clamp(min=0).double().numpy(), 0)
    labels = SpectralAuto(upsample="nearest")(Scene(aggregated=blocks(8), size=(8, 8), features=features))
    assert same_parts(labels.flatten(), expected)
    assert len((labels.flatten() * 3 + stripe).unique()) == 3  # no stripe is cut
    parts = SpectralAuto("kappa", 0.6, input="attention", upsample="nearest")(
        Scene(aggregated=blocks(8, 0.1), size=(8, 8))
    )
    assert same_parts(parts.flatten(), quarters(8))
