"""Open parameters, scenes, and the checks that segmenters share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pytest
import torch
from torch import Tensor

from diffseg.backbones.none import NoBackbone
from diffseg.masks import upsample_nearest
from diffseg.segmenters.base import (
    CheckedSegmenter,
    Scene,
    has_common_labels,
    needs_attention,
    needs_mean_classes,
    needs_truth,
    resolve,
    segment_all,
)
from diffseg.segmenters.dbscan import DBSCAN
from diffseg.segmenters.kmeans import KMeansS
from diffseg.segmenters.kmeans_rgbxy import KMeansRGBXY


@dataclass(frozen=True)
class Alone:
    """A segmenter that declares nothing."""

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        return self

    def __call__(self, scene: Scene) -> Tensor:
        return torch.tensor([[7]])


@dataclass(frozen=True)
class Several(Alone):
    """A segmenter that is never called alone."""

    number: int

    def __call__(self, scene: Scene) -> Tensor:
        raise AssertionError

    @staticmethod
    def segment_all(scene: Scene, segmenters: Sequence[Several]) -> list[Tensor]:
        return [torch.tensor([[one.number]]) for one in segmenters]


@dataclass(frozen=True)
class Called(CheckedSegmenter):
    """A segmenter of the project's base class, with its own call."""

    number: int = 0

    def __call__(self, scene: Scene) -> Tensor:
        return torch.tensor([[self.number]])


@dataclass(frozen=True)
class Doubled(CheckedSegmenter):
    """A segmenter whose call changes the result of the two steps."""

    number: int = 0

    def finish(self, prepared: None, scene: Scene) -> Tensor:
        return torch.tensor([[self.number]])

    def __call__(self, scene: Scene) -> Tensor:
        return 2 * super().__call__(scene)


@dataclass(frozen=True)
class Clustering(Alone):
    """A segmenter that declares nothing but its number of clusters."""

    clusters: int | None = None


def test_only_open_parameters_are_filled_in() -> None:
    values = {"eps": 0.5, "min_samples": 7, "noise": "nearest"}
    assert DBSCAN().resolved(8, values) == DBSCAN(0.5, 7)
    assert DBSCAN(0.1).resolved(8, values) == DBSCAN(0.1, 7)
    with pytest.raises(ValueError, match=r"^eps: no value is tuned for this backbone; give one"):
        DBSCAN().resolved(8, {})


def test_attention_is_needed_unless_a_class_says_otherwise() -> None:
    with pytest.raises(ValueError, match=r"^segmenter: DBSCAN needs attention, and this backbone has none"):
        resolve(DBSCAN(), NoBackbone())
    assert resolve(KMeansRGBXY(None), NoBackbone(), clusters=4).clusters == 4


def test_a_class_without_attributes_has_the_defaults() -> None:
    bare = Alone()
    assert (needs_attention(bare), needs_truth(bare), has_common_labels(bare)) == (True, False, False)
    assert needs_truth(KMeansS())
    assert not needs_attention(KMeansRGBXY())


def test_a_class_with_open_clusters_needs_their_mean_number() -> None:
    assert needs_mean_classes(Clustering())
    assert not needs_mean_classes(Clustering(3))
    assert not needs_mean_classes(Alone())
    assert needs_mean_classes(KMeansRGBXY(None))
    assert not needs_mean_classes(KMeansS())


def test_labels_of_cells_and_soft_maps_become_label_maps_of_any_shape() -> None:
    scene = Scene(size=(9, 4))
    cells = torch.arange(9)
    assert torch.equal(scene.upsample(cells), upsample_nearest(cells.view(3, 3), (9, 4)))
    assert torch.equal(scene.upsample(cells.view(3, 3)), scene.upsample(cells))
    maps = torch.rand(5, 9, generator=torch.Generator().manual_seed(0))
    upsampled = torch.nn.functional.interpolate(maps.view(1, 5, 3, 3), (9, 4), mode="bilinear", align_corners=False)
    assert torch.equal(scene.upsample(maps), upsampled[0].argmax(dim=0))
    assert torch.equal(scene.upsample(maps.view(5, 3, 3)), scene.upsample(maps))


@pytest.mark.parametrize("cells", [torch.arange(8), torch.ones(9), torch.ones(2, 8), torch.zeros(0, dtype=torch.int64)])
def test_cells_that_are_no_square_are_refused(cells: Tensor) -> None:
    with pytest.raises(ValueError, match=r"^cells: must be (labels|soft maps) .*, got \("):
        Scene(size=(4, 4)).upsample(cells)


def test_a_class_with_segment_all_is_called_once() -> None:
    scene = Scene(size=(2, 2), aggregated=torch.eye(4))
    rows = [Several(1), Several(2)]
    assert [labels.tolist() for labels in segment_all(scene, rows)] == [[[1]], [[2]]]
    assert [labels.tolist() for labels in segment_all(scene, [Alone()])] == [[[7]]]
    assert list(segment_all(scene, [])) == []


@pytest.mark.parametrize(("kind", "labels"), [(Called, [1, 2]), (Doubled, [2, 4])])
def test_a_class_with_its_own_call_is_called_for_each_row(kind: type[Called | Doubled], labels: list[int]) -> None:
    scene = Scene(size=(1, 1))
    assert [int(label_map) for label_map in segment_all(scene, [kind(1), kind(2)])] == labels
    assert [int(label_map) for label_map in segment_all(scene, [kind(1)])] == labels[:1]
