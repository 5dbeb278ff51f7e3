"""Diffusion transformers on random weights, saved as diffusers saves their pipelines, against diffusers' own pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from torch import Tensor

from diffseg.backbones import BrokenWeights, MissingWeights
from diffseg.backbones.diffusion_transformer import DiffusionTransformer, Flux, StableDiffusion3
from diffseg.backbones.joint_attention import JointAttention, check_transformer, packed, positions
from diffseg.backbones.text_encoding import T5_LENGTH
from experiments.bench.tiny_sd import pictures
from tests.helpers import damage
from tests.helpers.tiny_transformers import BLOCKS, build_tiny_transformer, tiny_vae

SIZE = 128
SIDE = SIZE // 16
CHOSEN = (0, 2)
SD3 = StableDiffusion3(size=128)
SPECS: dict[str, type[DiffusionTransformer]] = {"sd3": StableDiffusion3, "sd35": StableDiffusion3, "flux": Flux}


@pytest.fixture(scope="module", params=SPECS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_transformer(request.param, tmp_path_factory.mktemp(request.param) / request.param)


@pytest.fixture(scope="module")
def model(folder: Path) -> JointAttention:
    return SPECS[folder.name](str(folder), SIZE, blocks=CHOSEN).load("cpu")


def pipeline(folder: Path) -> Any:
    if folder.name == "flux":
        return FluxPipeline.from_pretrained(folder, text_encoder_2=None, tokenizer_2=None)
    return StableDiffusion3Pipeline.from_pretrained(folder, text_encoder_3=None, tokenizer_3=None)


def recorded(model: JointAttention, timestep: int = 300) -> tuple[list[tuple[Tensor, Tensor, Tensor]], list[Tensor]]:
    """Queries, keys and values of every call of torch's attention in one bare pass, and the calls' outputs."""
    inputs: list[Any] = []
    outputs: list[Tensor] = []
    original = F.scaled_dot_product_attention

    def record(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        output = original(query, key, value, **options)
        inputs.append((query, key, value))
        outputs.append(output)
        return output

    latents = model.encode(pictures(SIZE, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "scaled_dot_product_attention", record)
        model.predict(latents, timestep)
    return inputs, outputs


def joint_calls(model: JointAttention) -> list[int]:
    """Numbers of the recorded calls that are joint attention. Stable Diffusion 3.5 attends once more in some blocks."""
    calls, number = [], 0
    for block in [*model.transformer.transformer_blocks, *getattr(model.transformer, "single_transformer_blocks", ())]:
        calls.append(number)
        number += 2 if getattr(block, "attn2", None) is not None else 1
    return calls


def picture_part(folder: Path, attention: Tensor) -> Tensor:
    part = slice(-(SIDE**2), None) if folder.name == "flux" else slice(SIDE**2)
    return attention[..., part, part]


def test_maps_have_rows_that_sum_to_one_and_their_provenance(model: JointAttention) -> None:
    for maps in model.attend(pictures(SIZE, 2)):
        assert maps.sides == (SIDE,) == model.spec.sides
        assert dict(maps.layers) == {SIDE: len(CHOSEN)}
        assert maps.maps[SIDE].dtype == torch.float32
        torch.testing.assert_close(maps.maps[SIDE].sum(dim=1), torch.ones(SIDE**2), atol=1e-5, rtol=0)
        assert dict(maps.provenance) == {
            "model": model.spec.path,
            "size": SIZE,
            "timestep": 300,
            "dtype": "float32",
            "blocks": "0,2",
        }


def test_maps_are_the_part_of_the_picture_in_the_joint_attention(model: JointAttention, folder: Path) -> None:
    """Expected: softmax over all tokens, the picture's part of it, rows normalised, mean over heads and blocks."""
    inputs, _ = recorded(model)
    calls = joint_calls(model)
    assert len(calls) == BLOCKS[folder.name] == len(model.layers)
    means = []
    for block in CHOSEN:
        query, key, _ = inputs[calls[block]]
        joint = (query @ key.mT * query.shape[-1] ** -0.5).softmax(dim=-1)
        part = picture_part(folder, joint)
        means.append((part / part.sum(dim=-1, keepdim=True)).mean(dim=1))
    expected = torch.stack(means).mean(dim=0)
    assert expected.std() > 0.5 * expected.mean()  # flat maps would prove little
    for maps, reference in zip(model.attend(pictures(SIZE, 2)), expected, strict=True):
        torch.testing.assert_close(maps.maps[SIDE], reference, atol=1e-6, rtol=1e-4)


def test_the_pass_ends_after_the_last_chosen_block(model: JointAttention) -> None:
    ran: list[int] = []
    layers = model.layers
    hooks = [
        layer.register_forward_pre_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(layers)
    ]
    first = model.attend_encoded(model.encode(pictures(SIZE)), replace(model.spec, blocks=(1, 0)))[0]
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1]
    assert not any(layer._forward_pre_hooks for layer in layers)
    second = model.attend_encoded(model.encode(pictures(SIZE)), replace(model.spec, blocks=(0, 1)))[0]
    assert torch.equal(first.maps[SIDE], second.maps[SIDE])


def test_time_changes_the_attention(model: JointAttention) -> None:
    latents = model.encode(pictures(SIZE))
    maps = [model.attend_encoded(latents, replace(model.spec, timestep=time))[0].maps[SIDE] for time in (0, 300, 1000)]
    assert all((first - second).abs().max() > 1e-4 for first, second in pairwise(maps))


def test_features_are_the_keys_of_the_last_chosen_block(model: JointAttention, folder: Path) -> None:
    inputs, _ = recorded(model)
    key = inputs[joint_calls(model)[CHOSEN[-1]]][1]
    part = key[:, :, -(SIDE**2) :] if folder.name == "flux" else key[:, :, : SIDE**2]
    for maps, expected in zip(model.attend(pictures(SIZE, 2)), part.transpose(1, 2).flatten(2), strict=True):
        assert maps.features is not None
        torch.testing.assert_close(maps.features, expected)


def test_latents_and_prompt_equal_those_of_the_pipeline(model: JointAttention, folder: Path) -> None:
    theirs, images = pipeline(folder), pictures(SIZE, 2)
    with torch.no_grad():
        latents = theirs.vae.encode(images / 127.5 - 1).latent_dist.mode()
        expected = (latents - theirs.vae.config.shift_factor) * theirs.vae.config.scaling_factor
        torch.testing.assert_close(model.encode(images), expected)
        if folder.name == "flux":
            pooled = theirs._get_clip_prompt_embeds("", device="cpu")
            assert model.prompt.shape[1] == 0
        else:
            prompt, _, pooled, _ = theirs.encode_prompt("", "", "", do_classifier_free_guidance=False)
            # Older pipelines (diffusers 0.33) have only 77 of the 256 zeros in place of T5's tokens.
            torch.testing.assert_close(model.prompt[:, : prompt.shape[1]], prompt)
            assert not model.prompt[:, prompt.shape[1] :].any()
            assert model.prompt.shape[1] == 77 + T5_LENGTH
    torch.testing.assert_close(model.pooled, pooled)


def test_flux_tokens_are_packed_as_in_the_pipeline() -> None:
    latents = torch.randn(2, 16, 6, 4)
    assert torch.equal(packed(latents), FluxPipeline._pack_latents(latents, 2, 16, 6, 4))
    assert torch.equal(positions(latents), FluxPipeline._prepare_latent_image_ids(2, 3, 2, "cpu", torch.float32))


def test_flux_time_and_guidance_equal_those_of_the_pipeline(tmp_path: Path) -> None:
    """The transformer takes sigma = t / 1000. The dev model also takes a guidance scale."""
    folder = build_tiny_transformer("flux", tmp_path / "flux", guidance=True)
    model = Flux(str(folder), SIZE, blocks=CHOSEN).load("cpu")
    latents = model.encode(pictures(SIZE))
    with torch.no_grad():
        expected = model.transformer(
            hidden_states=FluxPipeline._pack_latents(latents, 1, 16, SIZE // 8, SIZE // 8),
            timestep=torch.tensor([0.25]),
            guidance=torch.tensor([3.5]),
            pooled_projections=model.pooled,
            encoder_hidden_states=torch.zeros(1, 0, model.prompt.shape[-1]),
            txt_ids=torch.zeros(0, 3),
            img_ids=FluxPipeline._prepare_latent_image_ids(1, SIDE, SIDE, "cpu", torch.float32),
        ).sample
    torch.testing.assert_close(model.predict(latents, 250), expected)


def test_half_precision_is_near_float32(model: JointAttention, folder: Path) -> None:
    (exact,) = model.attend(pictures(SIZE))
    (rough,) = SPECS[folder.name](str(folder), SIZE, blocks=CHOSEN, dtype="bfloat16").load("cpu").attend(pictures(SIZE))
    assert rough.maps[SIDE].dtype == torch.float32
    assert 0 < 0.5 * (exact.maps[SIDE] - rough.maps[SIDE]).abs().sum(dim=1).mean() < 0.1


def test_fused_projections_give_the_same_maps(model: JointAttention) -> None:
    (expected,) = model.attend(pictures(SIZE))
    fused = type(model.spec)(model.spec.path, SIZE, blocks=CHOSEN).load("cpu")
    fused.transformer.fuse_qkv_projections()
    if Path(model.spec.path).name == "sd35":
        with pytest.raises(AttributeError):
            fused.predict(fused.encode(pictures(SIZE)), 300)  # diffusers itself cannot run this model fused
        return
    (maps,) = fused.attend(pictures(SIZE))
    torch.testing.assert_close(maps.maps[SIDE], expected.maps[SIDE], atol=1e-6, rtol=1e-4)


def test_blocks_and_size_that_the_model_lacks_are_refused(folder: Path) -> None:
    kind, count = SPECS[folder.name], BLOCKS[folder.name]
    with pytest.raises(ValueError, match=rf"blocks: must be 0\.\.{count - 1} for "):
        kind(str(folder), SIZE, blocks=(0, count)).check()
    if kind is StableDiffusion3:
        with pytest.raises(ValueError, match=r"size: must be at most 128 for .*, got 256"):
            kind(str(folder), 256, blocks=(0,)).load("cpu")


def test_damaged_files_are_refused_and_changed_ones_have_another_fingerprint(folder: Path, tmp_path: Path) -> None:
    kind, copy = SPECS[folder.name], damage.copy(folder, tmp_path / "copy")
    weights = copy / "transformer/diffusion_pytorch_model.safetensors"
    before = kind(str(folder), SIZE, blocks=CHOSEN).fingerprint
    damage.change_tensors(weights, lambda tensors: tensors[sorted(tensors)[0]].add_(1))
    assert kind(str(copy), SIZE, blocks=CHOSEN).fingerprint != before
    damage.set_json(copy / "transformer/config.json", pooled_projection_dim=4)
    with pytest.raises(BrokenWeights, match=f"{weights} does not fit its config.json"):
        kind(str(copy), SIZE, blocks=CHOSEN).load("cpu")
    damage.cut(weights)
    with pytest.raises(BrokenWeights, match=f"{weights} is cut short"):
        kind(str(copy), SIZE, blocks=CHOSEN).check()
    weights.unlink()
    with pytest.raises(MissingWeights, match="has no transformer/diffusion_pytorch_model"):
        kind(str(copy), SIZE, blocks=CHOSEN).check()


def vae(changes: Mapping[str, Any]) -> AutoencoderKL:
    with torch.device("meta"):
        return AutoencoderKL.from_config({**tiny_vae().config, **changes})


def transformer(spec: DiffusionTransformer, changes: Mapping[str, Any]) -> Any:
    """A transformer with the published numbers of channels, in one block and without weights."""
    small = {"num_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2}
    with torch.device("meta"):
        if isinstance(spec, Flux):
            return FluxTransformer2DModel(**small, num_single_layers=1, axes_dims_rope=(2, 2, 4), **changes)
        return SD3Transformer2DModel(**small, caption_projection_dim=16, pos_embed_max_size=8, **changes)


@pytest.mark.parametrize(
    ("encoder", "denoiser", "spec", "message"),
    [
        (
            {
                "block_out_channels": (8, 8, 8),
                "down_block_types": ("DownEncoderBlock2D",) * 3,
                "up_block_types": ("UpDecoderBlock2D",) * 3,
            },
            {},
            SD3,
            "path: the model of stabilityai/stable-diffusion-3.5-medium encodes 4 pixels to a latent; only 8 are",
        ),
        ({"latent_channels": 4}, {}, SD3, "takes 16 channels, but its VAE has 4"),
        ({}, {"in_channels": 384}, Flux(), "takes 96 channels, but its VAE has 16: models that edit"),
        ({}, {"patch_size": 1}, SD3, "has patches of 1 latents; only 2 is supported"),
        ({}, {}, StableDiffusion3(size=144), "size: must be at most 128 for stabilityai/.*, got 144"),
    ],
)
def test_models_that_do_not_fit_are_named(
    encoder: Mapping[str, Any], denoiser: Mapping[str, Any], spec: DiffusionTransformer, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_transformer(vae(encoder), transformer(spec, denoiser), spec)
