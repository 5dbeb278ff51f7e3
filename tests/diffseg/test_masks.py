"""From proposals and clusters to label maps, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diffseg.masks import (
    cluster_means,
    grid_side,
    labels_from_proposals,
    to_pixels,
    upsample_nearest,
)
from tests.helpers.attention import bilinear, blocks


def test_labels_from_proposals_equal_brute_force() -> None:
    proposals = torch.rand(5, 16, generator=torch.Generator().manual_seed(1))
    height, width = 9, 14
    upsampled = torch.nn.functional.interpolate(
        proposals.view(1, 5, 4, 4), (height, width), mode="bilinear", align_corners=False
    )[0]
    assert torch.equal(labels_from_proposals(proposals, (height, width)), upsampled.argmax(dim=0))
    square = np.stack([bilinear(each.view(4, 4).numpy(), 9) for each in proposals])
    np.testing.assert_array_equal(labels_from_proposals(proposals, 9), square.argmax(axis=0))


def test_first_of_equal_proposals_wins_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    proposals = torch.rand(3, 16, generator=torch.Generator().manual_seed(2))
    twice = torch.cat([proposals, proposals])
    whole = labels_from_proposals(twice, 40)
    assert whole.max() < 3
    monkeypatch.setattr("diffseg.masks.CPU_BLOCK", 6 * 40 * 7)
    assert torch.equal(labels_from_proposals(twice, 40), whole)


@given(st.integers(1, 9), st.integers(1, 30))
def test_upsample_nearest_equals_nearest_exact(side: int, size: int) -> None:
    labels = torch.arange(side * side).view(side, side)
    expected = torch.nn.functional.interpolate(labels[None, None].float(), (size, size), mode="nearest-exact")[0, 0]
    # Where a pixel's centre lies on the border of two cells, float32 may round either way: compare the others.
    centres = [(2 * at + 1) * side % (2 * size) != 0 for at in range(size)]
    inside = torch.tensor(centres)
    picked = upsample_nearest(labels, size)[inside][:, inside]
    assert torch.equal(picked, expected.long()[inside][:, inside])


def test_cluster_means_equal_a_loop_and_numbers_need_not_be_consecutive() -> None:
    maps = blocks(4)
    labels = torch.tensor([2, 0, 1, 1] * 4)
    expected = torch.stack([maps[labels == cluster].mean(dim=0) for cluster in range(3)])
    torch.testing.assert_close(cluster_means(maps, labels), expected)
    assert torch.equal(to_pixels(maps, 2 * labels + 3, 9, "soft"), to_pixels(maps, labels, 9, "soft"))


def test_soft_upsampling_lets_mean_maps_compete_and_nearest_repeats_cells() -> None:
    maps = blocks(4)
    labels = torch.tensor([[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2).flatten()
    soft, nearest = (to_pixels(maps, labels, (9, 14), upsample) for upsample in ("soft", "nearest"))  # type: ignore[arg-type]
    assert torch.equal(soft, labels_from_proposals(cluster_means(maps, labels), (9, 14)))
    assert torch.equal(nearest, upsample_nearest(labels.view(4, 4), (9, 14)))
    assert not torch.equal(soft, nearest)


@pytest.mark.parametrize("bad", [torch.rand(64, 63), torch.rand(63, 63), torch.rand(64), torch.eye(64).long()])
def test_only_a_square_of_a_square_has_a_grid_side(bad: Tensor) -> None:
    assert grid_side(torch.rand(64, 64)) == 8
    with pytest.raises(ValueError, match="aggregated: must be a floating point tensor of shape"):
        grid_side(bad)
    with pytest.raises(TypeError, match=r"^aggregated: must be a torch tensor, got ndarray$"):
        grid_side(bad.numpy())  # type: ignore[arg-type]
