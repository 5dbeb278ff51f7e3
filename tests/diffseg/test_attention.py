"""`AttentionMaps`: order, defaults, and refused values."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diffseg import AttentionMaps
from diffseg.attention import AttentionError


def random_maps() -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {side: torch.rand(side * side, side * side, generator=generator).softmax(dim=1) for side in (8, 4, 2)}


def test_attention_maps_are_validated() -> None:
    good = random_maps()
    maps = AttentionMaps({2: good[2], 8: good[8], 4: good[4]}, {8: 5, 4: 5, 2: 1}, {"model": "random"})
    assert maps.sides == tuple(maps.maps) == tuple(maps.layers) == (8, 4, 2)
    nan = good[4].clone()
    nan[0, 0] = torch.nan
    for bad, message in (
        ({}, "there are none"),
        ({8: good[8], 3: good[4]}, "does not divide"),
        ({8: good[4]}, "needs a floating point tensor of shape"),
        ({4: good[4].long()}, "floating point"),
        ({4: good[4] * 2}, "do not sum to 1"),
        ({4: nan}, "NaN"),
        ({4: torch.eye(16) * 2 - torch.ones(16, 16) / 16}, "negative"),
    ):
        with pytest.raises(ValueError, match=message):
            AttentionMaps(bad)
    with pytest.raises(ValueError, match="layers: must give"):
        AttentionMaps(good, {8: 1})


def test_a_side_has_one_layer_unless_given() -> None:
    assert dict(AttentionMaps(random_maps()).layers) == {8: 1, 4: 1, 2: 1}


def test_rows_may_sum_to_one_within_the_rounding_of_half_precision() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        AttentionMaps({8: random_maps()[8].to(dtype)})
    with pytest.raises(AttentionError, match="do not sum to 1"):
        AttentionMaps({8: random_maps()[8] * 1.02})


def test_features_are_finite_and_of_a_square_grid_of_any_side() -> None:
    maps = random_maps()
    assert AttentionMaps(maps, features=torch.ones(9, 5)).features is not None
    nan = torch.ones(9, 5)
    nan[2, 2] = torch.nan
    for bad in (torch.ones(8, 5), torch.ones(9), torch.ones(3, 3, 5), nan, torch.full((9, 5), torch.inf)):
        with pytest.raises(AttentionError, match="features: must be finite and of shape"):
            AttentionMaps(maps, features=bad)


def test_maps_cannot_be_replaced() -> None:
    maps = AttentionMaps(random_maps())
    with pytest.raises(TypeError):
        maps.maps[8] = torch.eye(64)  # type: ignore[index]
