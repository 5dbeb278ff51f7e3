"""Stable Diffusion XL and SSD-1B, on random weights, against diffusers' own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from diffseg.backbones import MissingWeights
from diffseg.backbones.stable_diffusion import StableDiffusion, StableDiffusionXL
from diffseg.backbones.unet_attention import UNetAttention
from experiments.bench.tiny_sd import PROMPT_LENGTH, pictures
from tests.helpers.tiny_sdxl import LAYERS, WIDTHS, build_tiny_sdxl
from tests.helpers.unet import TIMESTEP, reference

SIZE = 128


@pytest.fixture(scope="module", params=LAYERS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> UNetAttention:
    folder = build_tiny_sdxl(tmp_path_factory.mktemp(request.param) / request.param, request.param)
    return StableDiffusionXL(str(folder), SIZE).load("cpu")


def pipeline(model: UNetAttention) -> StableDiffusionXLPipeline:
    folder = Path(model.spec.path)
    return StableDiffusionXLPipeline(
        vae=model.vae,
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder"),
        text_encoder_2=CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2"),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
        unet=model.unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        add_watermarker=False,
    )


def test_the_pass_equals_that_of_the_pipeline_with_the_empty_prompt(model: UNetAttention) -> None:
    theirs, latents = pipeline(model), model.encode(pictures(SIZE, 2))
    with torch.no_grad():
        prompt, _, pooled, _ = theirs.encode_prompt("", device="cpu", do_classifier_free_guidance=False)
        times = theirs._get_add_time_ids((SIZE, SIZE), (0, 0), (SIZE, SIZE), prompt.dtype, pooled.shape[1])
        added = {"text_embeds": pooled.expand(2, -1), "time_ids": times.expand(2, -1)}
        expected = model.unet(latents, TIMESTEP, prompt.expand(2, -1, -1), added_cond_kwargs=added).sample
    assert model.prompt.shape == (1, PROMPT_LENGTH, sum(WIDTHS))
    torch.testing.assert_close(model.prompt, prompt)
    torch.testing.assert_close(model.predict(latents, TIMESTEP), expected)


def test_layers_and_sides_are_those_of_the_architecture(model: UNetAttention) -> None:
    (attention,) = model.attend(pictures(SIZE))
    latent, version = SIZE // 8, Path(model.spec.path).name
    assert dict(attention.layers) == {latent // factor: layers for factor, layers in LAYERS[version].items()}
    assert attention.sides == model.spec.sides == (latent // 2, latent // 4)


def test_maps_are_the_mean_of_diffusers_own_scores(model: UNetAttention) -> None:
    images = pictures(SIZE, 2)
    expected = reference(model, images)
    for number, attention in enumerate(model.attend(images)):
        for side in model.spec.sides:
            assert expected[side].std() > 0.3 * expected[side].mean()  # flat maps would prove little
            torch.testing.assert_close(attention.maps[side], expected[side][number], atol=1e-6, rtol=1e-4)


def test_features_are_the_last_self_attention_of_the_encoder(model: UNetAttention) -> None:
    outputs: list[Tensor] = []
    layer = model.unet.down_blocks[-1].attentions[-1].transformer_blocks[-1].attn1
    hook = layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    attended = model.attend(pictures(SIZE, 2))
    hook.remove()
    for number, attention in enumerate(attended):
        assert torch.equal(attention.features, outputs[0][number])  # type: ignore[arg-type]
        assert attention.features is not None
        assert len(attention.features) == (SIZE // 32) ** 2  # as in the authors' code: side of the picture / 32


def test_the_size_reaches_the_model(model: UNetAttention) -> None:
    latents = model.encode(pictures(SIZE))
    other = StableDiffusionXL(model.spec.path, SIZE * 2).load("cpu")
    assert not torch.allclose(other.predict(latents, TIMESTEP), model.predict(latents, TIMESTEP))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_vae_is_never_in_float16(tmp_path: Path, dtype: Any) -> None:
    model = StableDiffusionXL(str(build_tiny_sdxl(tmp_path / "sdxl")), SIZE, dtype=dtype).load("cpu")
    assert model.unet.dtype == getattr(torch, dtype)
    assert model.vae.dtype == (torch.float32 if dtype == "float16" else torch.bfloat16)
    assert bool(model.encode(pictures(SIZE)).isfinite().all())


@pytest.mark.parametrize(("size", "good"), [(96, True), (112, False), (0, False)])
def test_size_is_a_multiple_of_32(size: int, good: bool) -> None:
    if good:
        assert StableDiffusionXL(size=size).sides == (6, 3)
    else:
        with pytest.raises(ValueError, match="size"):
            StableDiffusionXL(size=size)


def test_the_fingerprint_covers_the_second_text_encoder(tmp_path: Path) -> None:
    folder = build_tiny_sdxl(tmp_path / "sdxl")
    before = StableDiffusionXL(str(folder)).fingerprint
    assert before != StableDiffusion(str(folder)).fingerprint
    config = folder / "text_encoder_2" / "config.json"
    config.write_text(config.read_text() + " ")
    assert StableDiffusionXL(str(folder)).fingerprint != before


def test_models_of_the_other_family_are_refused(sd: Path, tmp_path: Path) -> None:
    def refused(kind: Any, folder: Path, message: str) -> None:
        with pytest.raises((ValueError, MissingWeights), match=message):
            kind(str(folder), SIZE).load("cpu")

    refused(StableDiffusion, build_tiny_sdxl(tmp_path / "xl"), "no attention at the finest side .* backbone=sdxl")
    refused(StableDiffusionXL, sd, "has no text_encoder_2/config.json")
