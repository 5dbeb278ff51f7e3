"""`AttentionMaps`: order, defaults, refused values, and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import Tensor

from diffseg import AttentionMaps
from diffseg.aggregation import aggregate
from diffseg.attention import AttentionError, PictureInfo


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


def full() -> AttentionMaps:
    """Maps with everything that a file holds."""
    picture = PictureInfo.of("city/a", np.zeros((30, 40, 3), np.uint8))
    provenance = {"name": "Bär", "settings": {"size": 64, "weights": "w", "sides": [8, 4, 2]}, "timestep": 300}
    return AttentionMaps(random_maps(), {8: 5, 4: 5, 2: 1}, provenance, torch.randn(16, 5), picture)


def test_files_keep_everything(tmp_path: Path) -> None:
    maps = full()
    maps.save(tmp_path / "city" / "a.safetensors")
    loaded = AttentionMaps.load(tmp_path / "city" / "a.safetensors")
    for side in maps.sides:
        torch.testing.assert_close(loaded.maps[side], maps.maps[side], rtol=0, atol=0)
    torch.testing.assert_close(loaded.features, maps.features, rtol=0, atol=0)
    for name in ("layers", "provenance", "picture"):
        assert getattr(loaded, name) == getattr(maps, name)
    assert repr(loaded) == "AttentionMaps(city/a, 40 x 30 pixels, sides 8, 4, 2, features (16, 5), from Bär)"
    torch.testing.assert_close(
        aggregate(maps, scheme="paper"), aggregate(maps.maps, scheme="paper", layers=maps.layers)
    )


def test_half_precision_takes_half_the_space(tmp_path: Path) -> None:
    exact, half, maps = tmp_path / "exact", tmp_path / "half", full()
    maps.save(exact)
    maps.save(half, dtype="float16")
    assert half.stat().st_size < 0.6 * exact.stat().st_size
    loaded = AttentionMaps.load(half)
    assert loaded.maps[8].dtype == torch.float32
    torch.testing.assert_close(loaded.maps[8], maps.maps[8].half().float(), rtol=0, atol=0)
    with pytest.raises(ValueError, match="dtype: must be float32 or float16, got 'int8'"):
        maps.save(half, dtype="int8")  # type: ignore[arg-type]
    with pytest.raises(AttentionError, match="too large for float16"):
        AttentionMaps(random_maps(), features=torch.full((4, 1), 1e6)).save(half, dtype="float16")


def test_a_place_attends_as_its_row_says() -> None:
    maps = full()
    for x, y, cells in ((0, 0, (0, 0)), (1, 1, (7, 7)), (0.99, 0.3, (2, 7)), (0.26, 0.5, (4, 2))):
        row, column = cells
        torch.testing.assert_close(maps.at(x, y)[8], maps.maps[8].view(8, 8, 8, 8)[row, column])
        assert maps.at(x, y)[2].shape == (2, 2)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\], .* got 12, 0.5"):
        maps.at(12, 0.5)


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.safetensors", tmp_path / "whole.safetensors"
    full().save(whole)
    content = whole.read_bytes()
    rows = {"maps.2": np.ones((4, 4), np.float32)}
    save_file(rows, tmp_path / "rows")
    save_file({"weight": np.ones(3)}, tmp_path / "foreign")
    save_file({"maps.2": np.full((4, 4), 0.25)}, tmp_path / "metadata", {"picture": "cat"})
    save_file({"maps.2": np.full((4, 4), 0.25)}, tmp_path / "layers", {"layers": '{"2": "x"}'})
    damaged = [content[:length] for length in (0, 4, 100, len(content) - 1)]
    damaged += [
        content + b"0",
        b"\xff" * 40,
        *((tmp_path / name).read_bytes() for name in ("rows", "foreign", "metadata", "layers")),
    ]
    for each in damaged:
        path.write_bytes(each)
        with pytest.raises(AttentionError) as caught:
            AttentionMaps.load(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
    with pytest.raises(AttentionError, match="is missing"):
        AttentionMaps.load(tmp_path / "none.safetensors")
    with pytest.raises(AttentionError, match=r": cannot be read \(Is a directory\)$"):
        AttentionMaps.load(tmp_path)


def test_maps_of_other_programs_need_no_metadata(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(16), 16)
    for dtype in (np.float64, np.float16):
        save_file({"maps.4": rows.astype(dtype)}, tmp_path / "a.safetensors")
        maps = AttentionMaps.load(tmp_path / "a.safetensors")
        np.testing.assert_allclose(maps.maps[4].numpy(), rows, rtol=2e-3)
    assert (maps.picture, dict(maps.layers)) == (None, {4: 1})
