"""The baselines against scikit-learn called directly, and the segmenters' configuration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import DBSCAN as SklearnDBSCAN
from sklearn.cluster import KMeans as SklearnKMeans

from diffseg import dbscan, kmeans, segment
from diffseg.segmenters import DBSCAN, DiffSeg, KMeans, Scene
from tests.diffseg.test_merging import blocks


def test_kmeans_nearest_is_sklearn() -> None:
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
        (lambda: dbscan(blocks(), 0, 5), "eps: must be above 0"),
        (lambda: dbscan(blocks(), 0.1, 0), "min_samples: must be at least 1"),
        (lambda: dbscan(blocks(), 0.1, 5, noise="drop"), "noise: must be one of"),  # type: ignore[arg-type]
        (lambda: DiffSeg(tau=-1.0), "tau: must be"),
        (lambda: DiffSeg().resolved(32, {}), "tau: no value is known"),
        (lambda: DiffSeg(anchors=40).resolved(32, {"tau": 0.3}), "anchors: must be 1..32"),
        (lambda: KMeans(clusters=0), "clusters: must be at least 1"),
        (lambda: KMeans(clusters=70).resolved(8, {}), "clusters: must be 1..64"),
        (lambda: DBSCAN(eps=-1.0), "eps: must be above 0"),
        (lambda: DBSCAN(eps=0.1).resolved(8, {}), "min_samples: no value is known"),
    ],
)
def test_bad_arguments(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_segmenters_call_the_functions() -> None:
    maps = blocks(8, 1.0)
    scene = Scene(maps, size=20, true_classes=3)
    resolved = DiffSeg(anchors=4).resolved(8, {"tau": 0.4})
    assert (resolved.tau, resolved.grid) == (0.4, "even")
    assert torch.equal(resolved(scene), segment(maps, 0.4, 4, grid="even", size=20))
    assert torch.equal(KMeans("truth", seed=3)(scene), kmeans(maps, 3, 3, size=20))
    assert torch.equal(KMeans(5, upsample="nearest")(scene), kmeans(maps, 5, size=20, upsample="nearest"))
    tuned = DBSCAN(noise="nearest").resolved(8, {"eps": 0.26, "min_samples": 4})
    assert torch.equal(tuned(scene), dbscan(maps, 0.26, 4, "nearest", 20))


def test_official_grid_where_it_was_published() -> None:
    assert DiffSeg().resolved(64, {"tau": 1.1}).grid == "official"
    assert DiffSeg(grid="official").resolved(28, {"tau": 1.1}).grid == "official"
