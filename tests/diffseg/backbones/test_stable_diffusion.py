"""Stable Diffusion: its configuration, files, latents and prompt, and the errors."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from diffseg.backbones import MissingWeights
from diffseg.backbones.stable_diffusion import PUBLISHED_FILES, StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention
from experiments.bench.tiny_sd import pictures

SIZE = 128


@pytest.fixture(scope="module")
def model(tiny: Path) -> UNetAttention:
    return StableDiffusion(str(tiny), SIZE).load("cpu")


@pytest.mark.parametrize("size", [64, 192, 320])
def test_sides_and_layers_follow_from_the_size(tiny: Path, size: int) -> None:
    spec = StableDiffusion(str(tiny), size)
    (attention,) = spec.load("cpu").attend(pictures(size))
    finest = size // 8
    assert dict(attention.layers) == {finest: 5, finest // 2: 5, finest // 4: 5, finest // 8: 1}
    assert spec.sides[0] == finest


def test_models_of_another_structure_are_refused(model: UNetAttention) -> None:
    def built(vae: AutoencoderKL, unet: UNet2DConditionModel, spec: StableDiffusion = model.spec) -> None:
        UNetAttention(vae, unet, model.prompt, spec, torch.device("cpu"))

    def unet(**changes: Any) -> UNet2DConditionModel:
        with torch.device("meta"):
            return UNet2DConditionModel.from_config({**model.unet.config, **changes})

    with torch.device("meta"):
        half_vae = AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 3, block_out_channels=(32,) * 3)
    with pytest.raises(ValueError, match="encodes 4 pixels to a latent; only 8"):
        built(half_vae, model.unet)
    with pytest.raises(ValueError, match="takes 9 channels, but its VAE has 4"):
        built(model.vae, unet(in_channels=9))
    with pytest.raises(ValueError, match="no attention at the finest side"):
        built(model.vae, unet(down_block_types=["DownBlock2D", *["CrossAttnDownBlock2D"] * 3]))
    deeper = unet(
        down_block_types=["CrossAttnDownBlock2D"] * 5, up_block_types=["UpBlock2D"] * 5, block_out_channels=(16,) * 5
    )
    with pytest.raises(ValueError, match="downsamples a latent by 16; only 8"):
        built(model.vae, deeper, replace(model.spec, size=192))


def hub_cache(tiny: Path, folder: Path) -> Path:
    """Stores the tiny model as the hub's client stores v1.4: snapshots are links to blobs."""
    repository = folder / "models--CompVis--stable-diffusion-v1-4"
    snapshot = repository / "snapshots" / ("0" * 40)
    for name in PUBLISHED_FILES:
        blob = repository / "blobs" / name.replace("/", "-")
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny / name, blob)
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(blob)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("0" * 40)
    return repository


def test_a_hub_id_is_read_from_the_local_cache(
    model: UNetAttention, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    spec = StableDiffusion(size=SIZE)
    with pytest.raises(MissingWeights, match=r"vae/config.json of CompVis/stable-diffusion-v1-4.*make weights"):
        spec.check()
    hub_cache(tiny, tmp_path)
    spec.check()
    (attention,) = spec.load("cpu").attend(pictures(SIZE))
    assert torch.equal(attention.maps[16], model.attend(pictures(SIZE))[0].maps[16])
