"""The baselines against scikit-learn called directly, and the segmenters' configuration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cluster import DBSCAN as SklearnDBSCAN
from sklearn.cluster import KMeans as SklearnKMeans
from torch import Tensor

from diffseg import dbscan, kmeans, segment
from diffseg.segmenters import density, lloyd
from diffseg.segmenters.base import SEGMENTERS, Scene
from diffseg.segmenters.dbscan import DBSCAN
from diffseg.segmenters.diffseg import DiffSeg
from diffseg.segmenters.kmeans import KMeans
from experiments.bench.golden import IMAGES, read_golden
from tests.conftest import GOLDEN
from tests.helpers.attention import blocks, smooth


def test_kmeans_nearest_equals_sklearn() -> None:
    maps = blocks(8, 1.5)
    expected = SklearnKMeans(5, n_init=3, random_state=7).fit_predict(maps.numpy()).reshape(8, 8)
    labels = kmeans(maps, 5, seed=7, n_init=3, size=24, upsample="nearest")
    np.testing.assert_array_equal(labels.numpy(), expected.repeat(3, axis=0).repeat(3, axis=1))


def test_kmeans_soft_is_the_arg_max_of_the_mean_maps() -> None:
    maps = blocks(8, 1.5)
    clusters = SklearnKMeans(5, n_init=3, random_state=7).fit_predict(maps.numpy())
    means = torch.stack([maps[torch.from_numpy(clusters == k)].mean(dim=0) for k in range(5)]).view(1, 5, 8, 8)
    upsampled = torch.nn.functional.interpolate(means, (20, 20), mode="bilinear", align_corners=False)
    assert torch.equal(kmeans(maps, 5, seed=7, n_init=3, size=20), upsampled[0].argmax(dim=0))


def test_kmeans_repeats_with_its_seed() -> None:
    maps = blocks(8, 3.0)
    assert torch.equal(kmeans(maps, 6, seed=1, n_init=1), kmeans(maps, 6, seed=1, n_init=1))


def inertia(maps: Tensor, labels: Tensor) -> float:
    maps = maps.double()
    clusters = [maps[labels == k] for k in labels.unique()]
    return sum(float((points - points.mean(dim=0)).square().sum()) for points in clusters)


@pytest.mark.parametrize("clusters", [1, 2, 6, 17])
def test_kmeans_is_as_good_as_sklearn(clusters: int) -> None:
    same = 0
    for seed in range(4):
        maps = smooth(16, seed)
        labels = lloyd.cluster(maps, clusters, seed)
        expected = torch.from_numpy(SklearnKMeans(clusters, n_init=10, random_state=seed).fit_predict(maps.numpy()))
        assert inertia(maps, labels) <= 1.001 * inertia(maps, expected)
        same += torch.equal(labels, expected.long())
    assert same >= 3  # rounding on another machine may change one of the 4


def test_kmeans_with_one_start_equals_sklearn() -> None:
    maps = smooth(12, 5)
    for seed in range(10):
        expected = SklearnKMeans(5, n_init=1, random_state=seed).fit_predict(maps.numpy())
        np.testing.assert_array_equal(lloyd.cluster(maps, 5, seed, n_init=1).numpy(), expected)


def test_an_empty_cluster_gets_the_farthest_point() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0], [0.0, 4.0]])
    labels = torch.tensor([[0, 0, 0, 2], [0, 1, 2, 2]])
    centres = torch.tensor([[[0.0, 0.0], [50.0, 0.0], [0.0, 3.0]]]).expand(2, 3, 2)
    sums = torch.tensor([[[10.0, 0.0], [0.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [1.0, 0.0], [9.0, 4.0]]])
    expected = [[[0.5, 0.0], [9.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [1.0, 0.0], [4.5, 2.0]]]
    assert lloyd._means(points, labels, sums, centres).tolist() == expected


def test_kmeans_with_fewer_different_maps_than_clusters_has_fewer_labels() -> None:
    labels = kmeans(blocks(8, noise=0.0), 9, size=8)
    assert labels.unique().tolist() == [0, 1, 2, 3]
    assert all(len(quarter.unique()) == 1 for half in labels.split(4) for quarter in half.split(4, dim=1))


@pytest.mark.parametrize("min_samples", [1, 4, 6])
def test_dbscan_labels_equal_sklearn(min_samples: int) -> None:
    found = set()
    for seed in range(4):
        maps = smooth(16, seed)
        for eps in (0.06, 0.1, 0.15, 0.2):
            expected = SklearnDBSCAN(eps=eps, min_samples=min_samples).fit(maps.numpy())
            np.testing.assert_array_equal(density.cluster(maps, eps, min_samples).numpy(), expected.labels_)
            found.add(int(expected.labels_.max()))
    assert len(found) > 4  # the cases differ


def test_dbscan_decides_ties_and_cancelling_distances_as_float64() -> None:
    """Points of a lattice far from the origin, where float32 errors exceed the distances. |(3, 4)| = 5 = eps."""
    lattice = torch.cartesian_prod(torch.arange(12), torch.arange(12)).float()
    points = torch.cat((3000.0 + 3 * lattice[:, :1], 5000.0 + 4 * lattice[:, 1:]), dim=1)
    points = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))][:90]
    for eps in (4.0, 5.0, np.nextafter(5.0, 0)):
        for min_samples in (2, 4, 5, 6):
            expected = SklearnDBSCAN(eps=eps, min_samples=min_samples).fit(points.numpy()).labels_
            np.testing.assert_array_equal(density.cluster(points, float(eps), min_samples).numpy(), expected)


def test_dbscan_border_point_joins_the_first_cluster_that_reaches_it() -> None:
    points = torch.tensor([10, 0, 5, 0.5, 0.7, 1, 9.5, 9.3, 9, 30])[:, None]  # 5 is near 1 and 9, and no core point
    expected = SklearnDBSCAN(eps=4.2, min_samples=4).fit(points.numpy()).labels_
    assert expected.tolist() == [0, 1, 0, 1, 1, 1, 0, 0, 0, -1]
    np.testing.assert_array_equal(density.cluster(points, 4.2, 4).numpy(), expected)


@pytest.mark.slow
@pytest.mark.parametrize("image", IMAGES)
def test_kmeans_and_dbscan_match_sklearn_at_the_size_of_stable_diffusion(image: str) -> None:
    maps = read_golden(GOLDEN, image).aggregated
    expected = torch.from_numpy(SklearnKMeans(6, n_init=10, random_state=0).fit_predict(maps.numpy()))
    assert inertia(maps, lloyd.cluster(maps, 6)) <= 1.001 * inertia(maps, expected)
    for eps, min_samples in ((0.02, 5), (0.004, 10)):
        found = SklearnDBSCAN(eps=eps, min_samples=min_samples).fit(maps.numpy()).labels_
        np.testing.assert_array_equal(density.cluster(maps, eps, min_samples).numpy(), found)


def test_dbscan_own_noise_is_the_last_label() -> None:
    maps = blocks(8, 1.0)
    found = SklearnDBSCAN(eps=0.26, min_samples=4).fit(maps.numpy()).labels_
    assert found.min() == -1  # the case has noise
    assert found.max() >= 1
    expected = np.where(found == -1, found.max() + 1, found).reshape(8, 8)
    labels = dbscan(maps, 0.26, 4, size=8, upsample="nearest")
    np.testing.assert_array_equal(labels.numpy(), expected)


def test_dbscan_nearest_noise_joins_the_nearest_mean() -> None:
    maps = blocks(8, 1.0)
    found = SklearnDBSCAN(eps=0.26, min_samples=4).fit(maps.numpy()).labels_
    means = np.stack([maps.numpy()[found == k].mean(axis=0) for k in range(found.max() + 1)])
    expected = found.copy()
    for index in np.flatnonzero(found == -1):
        expected[index] = np.linalg.norm(maps.numpy()[index] - means, axis=1).argmin()
    labels = dbscan(maps, 0.26, 4, noise="nearest", size=8, upsample="nearest")
    np.testing.assert_array_equal(labels.numpy().ravel(), expected)


def test_dbscan_all_noise_is_one_segment() -> None:
    for noise in ("own", "nearest"):
        assert dbscan(torch.eye(16), 1e-3, 5, noise=noise, size=8).unique().tolist() == [0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kmeans(blocks(), 0), "clusters: must be 1..64"),
        (lambda: kmeans(blocks(), 65), "clusters: must be 1..64"),
        (lambda: kmeans(blocks(), 2, n_init=0), "n_init: must be at least 1"),
        (lambda: kmeans(blocks(), 2, upsample="cubic"), "upsample: must be one of"),  # type: ignore[arg-type]
        (lambda: kmeans(blocks(), 2, seed=-1), "seed: must be 0..4294967295, got -1"),
        (lambda: dbscan(blocks(), 0, 5), "eps: must be above 0"),
        (lambda: dbscan(blocks(), 0.1, 0), "min_samples: must be at least 1"),
        (lambda: dbscan(blocks(), 0.1, 5, noise="drop"), "noise: must be one of"),  # type: ignore[arg-type]
        (lambda: DiffSeg(tau=-1.0), "tau: must be"),
        (lambda: DiffSeg().resolved(32, {}), "tau: no value is tuned"),
        (lambda: DiffSeg(anchors=40).resolved(32, {"tau": 0.3}), "anchors: must be 1..32"),
        (lambda: KMeans(clusters=0), "clusters: must be at least 1"),
        (lambda: KMeans(clusters=70).resolved(8, {}), "clusters: must be 1..64"),
        (lambda: DBSCAN(eps=-1.0), "eps: must be above 0"),
        (lambda: DBSCAN(eps=0.1).resolved(8, {}), "min_samples: no value is tuned"),
    ],
)
def test_bad_arguments_are_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_segmenters_call_the_functions() -> None:
    maps = blocks(8, 1.0)
    scene = Scene(aggregated=maps, size=20, true_classes=3)
    resolved = DiffSeg(anchors=4).resolved(8, {"tau": 0.4})
    assert (resolved.tau, resolved.grid) == (0.4, "even")
    assert torch.equal(resolved(scene), segment(maps, 0.4, 4, grid="even", size=20))
    assert torch.equal(KMeans("truth", seed=3)(scene), kmeans(maps, 3, 3, size=20))
    assert torch.equal(KMeans(5, upsample="nearest")(scene), kmeans(maps, 5, size=20, upsample="nearest"))
    tuned = DBSCAN(noise="nearest").resolved(8, {"eps": 0.26, "min_samples": 4})
    assert torch.equal(tuned(scene), dbscan(maps, 0.26, 4, "nearest", 20))


def test_the_grid_is_official_at_the_published_side() -> None:
    assert DiffSeg().resolved(64, {"tau": 1.1}).grid == "official"
    assert DiffSeg(grid="official").resolved(28, {"tau": 1.1}).grid == "official"


@pytest.mark.parametrize("upsample", ["soft", "nearest"])
def test_a_label_map_need_not_be_square(upsample: Any) -> None:
    aggregated = torch.rand(64, 64, generator=torch.Generator().manual_seed(0))
    aggregated /= aggregated.sum(dim=1, keepdim=True)
    square = kmeans(aggregated, 3, size=24, upsample=upsample)
    # A third of the rows, or of the columns: their centres are those of every third one.
    for size, expected in (((8, 24), square[1::3]), ((24, 8), square[:, 1::3])):
        assert torch.equal(kmeans(aggregated, 3, size=size, upsample=upsample), expected)
    with pytest.raises(ValueError, match="size: must be at least 1 pixel"):
        kmeans(aggregated, 3, size=(24, 0), upsample=upsample)


@pytest.mark.parametrize("clusters", [2, 5, 40])
def test_seeds_together_give_the_labels_of_each_seed_alone(clusters: int) -> None:
    maps = smooth(12, 3)
    seeds = (3, 0, 7)
    together = lloyd.cluster_seeds(maps, clusters, seeds, n_init=4)
    for labels, seed in zip(together, seeds, strict=True):
        assert torch.equal(labels, lloyd.cluster(maps, clusters, seed, n_init=4))


def test_rows_that_differ_in_the_seed_cluster_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is told the number of classes joins if that number is the same. A row with another n_init does not."""
    calls: list[tuple[int, ...]] = []
    cluster_seeds = lloyd.cluster_seeds

    def counted(points: Tensor, clusters: int, seeds: Any, n_init: int) -> Tensor:
        calls.append(tuple(seeds))
        return cluster_seeds(points, clusters, seeds, n_init)

    monkeypatch.setattr(lloyd, "cluster_seeds", counted)
    rows = [KMeans(4, 0), KMeans(4, 2), KMeans("truth", 1, upsample="nearest"), KMeans(4, 5, n_init=2), KMeans(3)]
    shared = {SEGMENTERS: rows}
    found = [row(Scene(aggregated=blocks(), size=8, true_classes=4, shared=shared)) for row in rows]
    assert calls == [(0, 1, 2), (5,), (0,)]
    for row, labels in zip(rows, found, strict=True):
        assert torch.equal(labels, row(Scene(aggregated=blocks(), size=8, true_classes=4)))


@pytest.mark.parametrize("columns", [1, 8, 13, 64])
def test_neighbours_are_packed_as_numpy_packs_bits(columns: int) -> None:
    close = torch.rand(5, columns, generator=torch.Generator().manual_seed(columns)) < 0.5
    expected = np.packbits(close.numpy(), axis=1)
    np.testing.assert_array_equal(density.bits(close), expected)
    np.testing.assert_array_equal(density.packed(close).numpy(), expected)  # the way of a GPU
