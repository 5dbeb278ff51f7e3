"""Stable Diffusion: its configuration, files, latents and prompt, and the errors."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from diffseg.backbones import MissingWeights
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention, check_unet
from experiments.bench.tiny_sd import PROMPT_LENGTH, pictures
from tests.helpers.hub_cache import add_to_hub

SIZE = 128


@pytest.fixture(scope="module")
def model(sd: Path) -> UNetAttention:
    return StableDiffusion(str(sd), SIZE).load("cpu")


@pytest.mark.parametrize("size", [64, 192, 320])
def test_sides_and_layers_follow_from_the_size(sd: Path, size: int) -> None:
    spec = StableDiffusion(str(sd), size)
    (attention,) = spec.load("cpu").attend(pictures(size))
    finest = size // 8
    assert dict(attention.layers) == {finest: 5, finest // 2: 5, finest // 4: 5, finest // 8: 1}
    assert spec.sides[0] == finest


def test_models_of_another_structure_are_refused(model: UNetAttention) -> None:
    def unet(**changes: Any) -> UNet2DConditionModel:
        with torch.device("meta"):
            return UNet2DConditionModel.from_config({**model.unet.config, **changes})

    with torch.device("meta"):
        half_vae = AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 3, block_out_channels=(32,) * 3)
    with pytest.raises(ValueError, match="encodes 4 pixels to a latent; only 8"):
        check_unet(half_vae, model.unet, model.spec)
    with pytest.raises(ValueError, match="takes 9 channels, but its VAE has 4"):
        check_unet(model.vae, unet(in_channels=9), model.spec)
    with pytest.raises(ValueError, match="no attention at the finest side"):
        check_unet(model.vae, unet(down_block_types=["DownBlock2D", *["CrossAttnDownBlock2D"] * 3]), model.spec)
    deeper = unet(
        down_block_types=["CrossAttnDownBlock2D"] * 5, up_block_types=["UpBlock2D"] * 5, block_out_channels=(16,) * 5
    )
    with pytest.raises(ValueError, match="downsamples a latent by 16; only 8"):
        check_unet(model.vae, deeper, replace(model.spec, size=192))


def test_a_hub_id_is_read_from_the_local_cache(
    model: UNetAttention, sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    spec = StableDiffusion(size=SIZE)
    with pytest.raises(MissingWeights, match=r"vae/config.json of CompVis/stable-diffusion-v1-4.*make weights"):
        spec.check()
    add_to_hub(tmp_path, {name: (sd / name).read_bytes() for name in spec.published}, spec.path)
    spec.check()
    (attention,) = spec.load("cpu").attend(pictures(SIZE))
    assert torch.equal(attention.maps[16], model.attend(pictures(SIZE))[0].maps[16])


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (3, 128, 128), (1, 1, 128, 128)])
def test_images_of_another_shape_are_refused(model: UNetAttention, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images: must have shape \('B', 3, 128, 128\)"):
        model.attend(torch.zeros(shape))


def test_published_weight_names_load_alike(sd: Path, tmp_path: Path) -> None:
    """The files on the hub keep the names of the libraries' first versions: query, key, ...; text_model."""
    folder = shutil.copytree(sd, tmp_path / "published")
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    vae, text = folder / "vae/diffusion_pytorch_model.safetensors", folder / "text_encoder/model.safetensors"
    renamed = {}
    for name, weight in load_file(vae).items():
        for new, published in old.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{published}.")
        renamed[name] = weight
    save_file(renamed, vae, {"format": "pt"})
    positions = {"text_model.embeddings.position_ids": torch.arange(PROMPT_LENGTH)[None]}
    save_file(
        {f"text_model.{name.removeprefix('text_model.')}": weight for name, weight in load_file(text).items()}
        | positions,
        text,
    )
    published_model, model = (StableDiffusion(str(path), SIZE).load("cpu") for path in (folder, sd))
    assert any("proj_attn" in name for name in load_file(vae))
    assert torch.equal(published_model.prompt, model.prompt)
    assert torch.equal(published_model.encode(pictures(SIZE)), model.encode(pictures(SIZE)))
    assert published_model.spec.fingerprint != model.spec.fingerprint
