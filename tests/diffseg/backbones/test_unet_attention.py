"""The attention collected from a U-Net against diffusers' own attention scores, on random weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from diffseg.backbones import head_mean
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention, collect
from experiments.bench.inputs import stable_diffusion
from experiments.bench.tiny_sd import build_tiny_sd, pictures
from tests.helpers.unet import TIMESTEP, layers_of, recorded, reference

SIZE = 128
SIDES = (16, 8, 4, 2)
LAYERS = {16: 5, 8: 5, 4: 5, 2: 1}


@pytest.fixture(scope="module")
def model(sd: Path) -> UNetAttention:
    return StableDiffusion(str(sd), SIZE).load("cpu")


@pytest.fixture(scope="module")
def model21(tmp_path_factory: pytest.TempPathFactory) -> UNetAttention:
    folder = build_tiny_sd(tmp_path_factory.mktemp("sd21"), version="2.1")
    return StableDiffusion(str(folder), SIZE).load("cpu")


@pytest.fixture(params=["model", "model21"])
def either(request: pytest.FixtureRequest) -> UNetAttention:
    return request.getfixturevalue(request.param)


def test_sixteen_layers_at_four_sides_with_rows_that_sum_to_one(either: UNetAttention) -> None:
    (attention,) = either.attend(pictures(SIZE))
    assert attention.sides == SIDES
    assert dict(attention.layers) == LAYERS
    assert either.spec.sides == SIDES
    assert dict(attention.provenance) == {"model": either.spec.path, "size": SIZE, "timestep": 300, "dtype": "float32"}
    for side, rows in attention.maps.items():
        assert rows.dtype == torch.float32
        torch.testing.assert_close(rows.sum(dim=1), torch.ones(side**2), atol=1e-5, rtol=0)


def test_maps_are_the_mean_of_diffusers_own_scores(either: UNetAttention) -> None:
    images = pictures(SIZE, 2)
    expected = reference(either, images)
    for number, attention in enumerate(either.attend(images)):
        for side in SIDES:
            assert expected[side].std() > 0.5 * expected[side].mean()  # flat maps would prove little
            torch.testing.assert_close(attention.maps[side], expected[side][number], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("block", [1, 256 * 7, 256 * 256])
def test_maps_do_not_depend_on_the_block_of_rows(
    model: UNetAttention, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    expected = model.attend(pictures(SIZE))[0].maps
    monkeypatch.setattr(head_mean, "BLOCK", block)
    for side, rows in model.attend(pictures(SIZE))[0].maps.items():
        torch.testing.assert_close(rows, expected[side], atol=1e-7, rtol=1e-5)


class LargestTensor(TorchDispatchMode):
    """Context that counts the elements of the largest tensor made inside it."""

    elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def test_no_tensor_is_larger_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    batch, heads, tokens = 2, 4, 16**2
    monkeypatch.setattr(head_mean, "BLOCK", tokens**2 // 2)
    total = torch.zeros(batch, tokens, tokens)
    with LargestTensor() as largest:
        head_mean.add(total, *torch.randn(2, batch, heads, tokens, 8))
    assert largest.elements == tokens**2 // 2


def test_collecting_leaves_the_output_bit_for_bit_the_same(either: UNetAttention) -> None:
    latents = either.encode(pictures(SIZE, 2))
    before = either.predict(latents, TIMESTEP)
    with collect(either.unet):
        during = either.predict(latents, TIMESTEP)
    assert torch.equal(before, during)
    assert torch.equal(before, either.predict(latents, TIMESTEP))


def test_attending_skips_the_layers_after_the_last_queries_and_keys(either: UNetAttention) -> None:
    images = pictures(SIZE, 2)
    with collect(either.unet) as whole:
        either.predict(either.encode(images), TIMESTEP)
    before = either.unet.attn_processors
    with recorded(either.unet, "to_q", "to_k", "to_v", "") as records:
        attended = either.attend(images)
    assert either.unet.attn_processors == before
    assert sorted(len(outputs) for _, outputs in records) == [2] + [4] * 15
    for attention, expected in zip(attended, whole.maps(whole.features, {}), strict=True):
        assert all(torch.equal(attention.maps[side], expected.maps[side]) for side in SIDES)


def test_processors_come_back_after_an_error(model: UNetAttention) -> None:
    before = model.unet.attn_processors
    with pytest.raises(RuntimeError), collect(model.unet):
        model.predict(torch.zeros(1, 5, 16, 16), TIMESTEP)  # 5 channels: the U-Net takes 4
    assert model.unet.attn_processors == before


def test_a_batch_gives_the_maps_of_each_picture_alone(model: UNetAttention) -> None:
    images = pictures(SIZE, 2)
    for image, attention in zip(images, model.attend(images), strict=True):
        alone = model.attend(image[None])[0]
        for side in SIDES:
            torch.testing.assert_close(attention.maps[side], alone.maps[side], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.1), ("float16", 0.02)])
def test_half_precision_is_near_float32(model: UNetAttention, sd: Path, dtype: Any, tolerance: float) -> None:
    half = StableDiffusion(str(sd), SIZE, dtype=dtype).load("cpu")
    assert half.unet.dtype == half.vae.dtype == getattr(torch, dtype)
    (attention,) = half.attend(pictures(SIZE))
    (expected,) = model.attend(pictures(SIZE))
    for side in SIDES:
        assert attention.maps[side].dtype == torch.float32
        torch.testing.assert_close(attention.maps[side].sum(dim=1), torch.ones(side**2), atol=1e-5, rtol=0)
        error = (attention.maps[side] - expected.maps[side]).abs().mean() / expected.maps[side].mean()
        assert 0 < error < tolerance


@pytest.mark.slow  # compiling takes most of a minute
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_encoder_gives_the_same_latents(sd: Path, model: UNetAttention) -> None:
    compiled = StableDiffusion(str(sd), SIZE, compile=True).load("cpu")
    assert compiled.spec.encoder != model.spec.encoder  # records and models of the two are kept apart
    images = pictures(SIZE, 2)
    torch.testing.assert_close(compiled.encode(images), model.encode(images), atol=1e-4, rtol=1e-3)
    assert compiled.vae.encoder._compiled_call_impl is not None
    assert model.vae.encoder._compiled_call_impl is None


@pytest.mark.slow
def test_the_full_v14_architecture_has_its_layers_at_512() -> None:
    model = stable_diffusion(StableDiffusion(), "cpu")
    assert sum(weight.numel() for weight in model.unet.parameters()) == 859_520_964  # the published size
    assert len(layers_of(model.unet)) == 16
    (attention,) = model.attend(pictures(model.spec.size))
    assert dict(attention.layers) == {64: 5, 32: 5, 16: 5, 8: 1}
    for side, rows in attention.maps.items():
        torch.testing.assert_close(rows.sum(dim=1), torch.ones(side**2), atol=1e-5, rtol=0)
        assert rows.std() > 0.1 * rows.mean()
