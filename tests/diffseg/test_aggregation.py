"""Aggregation against brute force, and its invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from diffseg import AttentionMaps, aggregate
from diffseg.aggregation import Aggregation, Scheme, side_weights, underflow_fraction
from tests.helpers.attention import bilinear

SIDES = (8, 4, 2)
LAYERS = {8: 5, 4: 5, 2: 1}


def random_maps(sides: tuple[int, ...] = SIDES, seed: int = 0) -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {side: torch.rand(side * side, side * side, generator=generator).softmax(dim=1) for side in sides}


def naive(maps: dict[int, Tensor], weights: dict[int, float], scheme: str, layers: dict[int, int]) -> NDArray:
    """Eq. 2 and 3, location by location."""
    finest = max(maps)
    total = np.zeros((finest, finest, finest, finest))
    for side, attention in maps.items():
        values = attention.double().numpy().reshape(side, side, side, side)
        for row in range(finest):
            for column in range(finest):
                grid = bilinear(values[row * side // finest, column * side // finest], finest)
                if scheme != "paper":
                    grid /= grid.sum()
                total[row, column] += weights[side] * (1 if scheme == "official" else layers[side]) * grid
    rows = total.reshape(finest * finest, -1)
    return rows / rows.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("sides", [SIDES, (12, 6, 4, 2)])  # of the latter, 4 does not divide 6
@pytest.mark.parametrize("scheme", ["official", "paper", "paper_normalised"])
def test_aggregation_equals_brute_force(scheme: Scheme, sides: tuple[int, ...]) -> None:
    maps, layers = random_maps(sides), {side: 1 + side % 5 for side in sides}
    expected = naive(maps, {side: side for side in sides}, scheme, layers)
    result = aggregate(maps, "proportional", scheme, layers)
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), expected, rtol=2e-5)


def test_given_weights_equal_brute_force() -> None:
    weights = {8: 0.0, 4: 3.0, 2: 1.0}
    maps = random_maps()
    np.testing.assert_allclose(aggregate(maps, weights).numpy(), naive(maps, weights, "official", LAYERS), rtol=2e-5)


@pytest.mark.parametrize(
    ("scheme", "shares"),
    [
        ("official", (53.3, 26.7, 13.3, 6.7)),
        ("paper", (11.6, 23.3, 46.5, 18.6)),
        ("paper_normalised", (56.3, 28.2, 14.1, 1.4)),
    ],
)
def test_each_side_has_its_share_of_the_attention(scheme: str, shares: tuple[float, ...]) -> None:
    """Maps of one side attend to the left half, all others to the right: its share is the attention on the left."""
    sides = (64, 32, 16, 8)
    for chosen, share in zip(sides, shares, strict=True):
        maps = {}
        for side in sides:
            left = (torch.arange(side) < side // 2).repeat(side).float()
            row = left if side == chosen else 1 - left
            maps[side] = (row / row.sum()).repeat(side * side, 1)
        total = aggregate(maps, "proportional", scheme, {64: 5, 32: 5, 16: 5, 8: 1})  # type: ignore[arg-type]
        # Where two halves meet, bilinear upsampling carries mass across, as much one way as the other.
        mass = total[0].view(64, 64)[:, :32].sum()
        blurred = {64: 0.0, 32: 0.25 / 32, 16: 0.25 / 16 * 1.5, 8: 0.25 / 8 * 1.75}
        assert float(mass) * 100 == pytest.approx(share, abs=0.05 + 100 * max(blurred.values()))


@given(st.lists(st.floats(0, 10), min_size=3, max_size=3).filter(lambda weights: sum(weights) > 0.1), st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_rows_sum_to_one(weights: list[float], seed: int) -> None:
    for scheme in ("official", "paper", "paper_normalised"):
        total = aggregate(random_maps(seed=seed), side_weights(weights, SIDES), scheme, LAYERS)  # type: ignore[arg-type]
        np.testing.assert_allclose(total.sum(dim=1).numpy(), 1, atol=1e-5)
        assert bool((total >= 0).all())


def test_finest_alone_changes_nothing_and_leaves_the_input_alone() -> None:
    maps = random_maps()
    before = maps[8].clone()
    torch.testing.assert_close(Aggregation("finest")(AttentionMaps(maps)), maps[8])
    layers = {8: 1, 4: 3, 2: 2}
    expected = aggregate(maps, scheme="paper", layers=layers)
    assert torch.equal(aggregate(AttentionMaps(maps, layers=layers), scheme="paper"), expected)
    aggregate(maps)
    assert torch.equal(maps[8], before)


def test_side_weights_by_name_and_by_number() -> None:
    sides = (64, 32, 16, 8)
    assert side_weights("proportional", sides) == {64: 64, 32: 32, 16: 16, 8: 8}
    for name, side in (("finest", 64), ("half", 32), ("quarter", 16), ("eighth", 8)):
        assert [key for key, weight in side_weights(name, sides).items() if weight] == [side]
    assert side_weights([1, 0, 0, 2], sides) == {64: 1, 32: 0, 16: 0, 8: 2}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: aggregate({}), "maps: there are none"),
        (lambda: aggregate({8: torch.eye(64), 3: torch.eye(9)}), "side 3 does not divide the finest side, 8"),
        (lambda: aggregate({0: torch.eye(0)}), "side 0 does not divide"),
        (lambda: aggregate({8: torch.eye(63)}), r"shape \(64, 64\), got \(63, 63\)"),
        (lambda: aggregate({8: torch.eye(64).long()}), "floating point"),
        (lambda: aggregate({8: np.eye(64)}), "maps: side 8 needs a torch tensor, got ndarray"),  # type: ignore[dict-item]
        (lambda: aggregate(random_maps(), layers={8: 1}), "layers: must give at least 1"),
        (lambda: aggregate(random_maps(), layers={8: 0, 4: 0, 2: 0}), "layers: must give at least 1"),
        (lambda: side_weights([-1, 0, 1], SIDES), ">= 0"),
        (lambda: side_weights([0, 0, 0], SIDES), "not all zero"),
        (lambda: aggregate(random_maps(), {8: 1.0}), "must name the sides"),
        (lambda: aggregate(random_maps(), {8: -1.0, 4: 1.0, 2: 1.0}), ">= 0"),
        (lambda: aggregate(random_maps(), dict.fromkeys(SIDES, 0.0)), "not all zero"),
        (lambda: aggregate(random_maps(), dict.fromkeys(SIDES, float("nan"))), "finite"),
        (lambda: aggregate(random_maps(), "proportional", "mean"), "scheme: input should be"),  # type: ignore[arg-type]
        (lambda: side_weights("eighth", (32, 16, 8)), "not a side of this backbone"),
        (lambda: side_weights("big", SIDES), "must be proportional"),
        (lambda: side_weights([1, 2], SIDES), "one number for each"),
    ],
)
def test_bad_arguments_are_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("maps", [[torch.eye(4)], [np.eye(4)], torch.eye(4)])
def test_maps_without_sides_are_refused(maps: object) -> None:
    with pytest.raises(TypeError, match=r"^maps: must map sides to tensors, or be AttentionMaps, got (list|Tensor)$"):
        aggregate(maps)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^maps: must map sides to tensors"):
        AttentionMaps(maps)  # type: ignore[arg-type]


def test_underflow_fraction_is_the_share_of_zeros_in_float16() -> None:
    maps = torch.tensor([[1.0, 2.9e-8, 0.0, 1e-7]])
    assert underflow_fraction(maps) == 0.5
