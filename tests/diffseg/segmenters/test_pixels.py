"""The segmenters that see only pixels, and the oracle, which sees the truth."""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffseg.masks import upsample_nearest
from diffseg.segmenters.base import Scene
from diffseg.segmenters.kmeans_rgbxy import KMeansRGBXY
from diffseg.segmenters.oracle import Oracle
from diffseg.segmenters.slic import SLIC
from eval.matching import match
from eval.metrics import accuracy
from tests.helpers.cuts import same_parts


def scene(image: Tensor | None = None, truth: Tensor | None = None, side: int = 4, size: int = 40) -> Scene:
    maps = torch.full((side**2, side**2), 1 / side**2)
    return Scene(aggregated=maps, size=size, image=image, truth=truth)


def two_tone() -> tuple[Tensor, Tensor]:
    """A picture of 40 x 40 pixels with noise, a blue square on orange, and the mask of the square."""
    inside = torch.zeros(40, 40, dtype=torch.bool)
    inside[6:20, 22:36] = True
    colours = torch.tensor([[240.0, 130.0, 10.0], [20.0, 60.0, 200.0]])
    noise = 4 * torch.randn(3, 40, 40, generator=torch.Generator().manual_seed(0))
    return (colours[inside.long()].permute(2, 0, 1) + noise).clamp(0, 255), inside


def test_kmeans_of_the_colour_finds_the_square() -> None:
    image, inside = two_tone()
    labels = KMeansRGBXY(2, position=0)(scene(image))
    assert same_parts(labels.flatten(), inside.flatten().long())
    assert labels.dtype == torch.int64


def test_kmeans_of_the_position_cuts_the_picture() -> None:
    labels = KMeansRGBXY(4, position=1e4)(scene(two_tone()[0]))
    quarter = torch.arange(40) // 20
    assert same_parts(labels.flatten(), (2 * quarter[:, None] + quarter).flatten())


def test_labels_have_the_scored_size() -> None:
    image, _ = two_tone()
    small = KMeansRGBXY(2, position=0)(scene(image))
    large = KMeansRGBXY(2, position=0)(scene(image, size=80))
    assert torch.equal(large, small.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1))


def test_slic_equals_scikit_image() -> None:
    segmentation = pytest.importorskip("skimage.segmentation")
    image, inside = two_tone()
    expected = segmentation.slic((image / 255).permute(1, 2, 0).numpy(), 12, 5.0, start_label=0)
    labels = SLIC(12, 5.0)(scene(image))
    np.testing.assert_array_equal(labels.numpy(), expected)
    mixed = [label for label in labels.unique() if 0.1 < float(inside[labels == label].float().mean()) < 0.9]
    assert not mixed  # superpixels keep to the square's border


def test_slic_without_scikit_image_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(ValueError, match="scikit-image is not installed: pip install scikit-image"):
        SLIC().resolved(8, {})


@pytest.mark.parametrize("segmenter", [SLIC(), KMeansRGBXY(), Oracle()])
def test_a_part_that_the_scene_lacks_is_named(segmenter: Any) -> None:
    with pytest.raises(ValueError, match=r"^(image|truth): the scene has no"):
        segmenter(scene())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SLIC(0), "^clusters: must be"),
        (lambda: SLIC(compactness=0), "^compactness: must be"),
        (lambda: KMeansRGBXY(0), "^clusters: must be"),
        (lambda: KMeansRGBXY(position=-1), "^position: must be"),
        (lambda: KMeansRGBXY(seed=2**32), "^seed: must be"),
    ],
)
def test_values_out_of_range_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_clusters_are_those_of_the_data_set_if_not_given() -> None:
    assert SLIC(None).resolved(8, {"clusters": 7}).clusters == 7
    assert KMeansRGBXY(None).resolved(8, {"clusters": 7}).clusters == 7


@pytest.mark.parametrize("seed", range(4))
def test_no_labelling_of_the_cells_beats_the_oracle(seed: int) -> None:
    """Tries all 3^9 labellings of 3 x 3 cells on 10 x 10 pixels, some of them void."""
    truth = torch.randint(-1, 3, (10, 10), generator=torch.Generator().manual_seed(seed))
    labels = Oracle()(scene(truth=truth.short(), side=3, size=10))
    reached = accuracy(match(labels.numpy(), truth.numpy(), 3))
    cells = upsample_nearest(torch.arange(9).view(3, 3), 10)
    assert all(len(labels[cells == cell].unique()) == 1 for cell in range(9))
    labelled = truth >= 0
    every = torch.tensor(list(product(range(3), repeat=9)))  # matching renames the segments, so their names are free
    hits = sum(
        (every[:, cells[pixel[0], pixel[1]]] == truth[pixel[0], pixel[1]]).long() for pixel in labelled.nonzero()
    )
    assert reached == pytest.approx(int(torch.as_tensor(hits).max()) / int(labelled.sum()))


def test_the_oracle_is_perfect_where_the_grid_suffices() -> None:
    truth = torch.randint(0, 27, (4, 4), generator=torch.Generator().manual_seed(1))
    truth[0, 0] = -1
    fine = truth.repeat_interleave(10, dim=0).repeat_interleave(10, dim=1)
    labels = Oracle()(scene(truth=fine.short()))
    assert torch.equal(labels, fine.clamp(min=0))  # a cell of void is class 0
    assert accuracy(match(labels.numpy(), fine.numpy())) == 1
