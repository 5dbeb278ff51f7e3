"""Open parameters, scenes, and the checks that segmenters share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from diffseg.backbones.none import NoBackbone
from diffseg.segmenters.base import (
    SEEDS,
    Scene,
    check_clusters,
    check_seed,
    fill_in,
    needs_mean_classes,
    picture_of,
    resolve,
    to_scored_size,
)
from diffseg.segmenters.dbscan import DBSCAN
from diffseg.segmenters.kmeans_rgbxy import KMeansRGBXY


@dataclass(frozen=True)
class Open:
    """Settings of a segmenter, two of them open."""

    tau: float | None = None
    clusters: int | None = None
    seed: int = 3


def test_only_open_parameters_are_filled_in() -> None:
    values = {"tau": 0.5, "clusters": 7, "seed": 9, "anchors": 2}
    assert fill_in(Open(), values) == Open(0.5, 7, 3)  # type: ignore[type-var]
    assert fill_in(Open(tau=0.0), values) == Open(0.0, 7, 3)  # type: ignore[type-var]


def test_a_parameter_without_a_value_is_named() -> None:
    for values in ({"tau": 0.5}, {"tau": 0.5, "clusters": None}):
        with pytest.raises(ValueError, match=r"^clusters: no value is tuned for this backbone; give one"):
            fill_in(Open(), values)  # type: ignore[type-var]


def test_attention_is_needed_unless_a_class_says_otherwise() -> None:
    with pytest.raises(ValueError, match=r"^segmenter: DBSCAN needs attention, and this backbone has none"):
        resolve(DBSCAN(), NoBackbone())
    assert resolve(KMeansRGBXY(None), NoBackbone(), clusters=4).clusters == 4


def test_the_mean_number_of_classes_is_for_an_open_number_of_clusters() -> None:
    assert needs_mean_classes(KMeansRGBXY(None))
    assert not needs_mean_classes(KMeansRGBXY(2))
    assert not needs_mean_classes(DBSCAN())


def test_seeds_are_those_of_numpy() -> None:
    for seed in (0, SEEDS - 1):
        check_seed(seed)
        np.random.RandomState(seed)
    for seed in (-1, SEEDS):
        with pytest.raises(ValueError, match=f"^seed: must be 0..{SEEDS - 1}, got {seed}"):
            check_seed(seed)
        with pytest.raises(ValueError, match="Seed"):
            np.random.RandomState(seed)


def test_one_cluster_is_enough_and_an_open_number_is_not_checked() -> None:
    check_clusters(1)
    check_clusters(None)
    with pytest.raises(ValueError, match=r"^clusters: must be at least 1, got 0"):
        check_clusters(0)


def test_the_picture_has_colours_from_0_to_1() -> None:
    image = torch.tensor([[[0.0, 255.0]], [[51.0, 0.0]], [[0.0, 102.0]]])
    np.testing.assert_allclose(picture_of(Scene(size=2, image=image)), [[[0, 0.2, 0], [1, 0, 0.4]]], atol=1e-7)


def test_labels_are_repeated_to_the_scored_size() -> None:
    labels = to_scored_size(np.array([[3, 1]], np.int32), Scene(size=(2, 4)))
    assert labels.dtype == torch.int64
    assert labels.tolist() == [[3, 3, 1, 1]] * 2
