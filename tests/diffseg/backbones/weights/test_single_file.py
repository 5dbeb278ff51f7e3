"""Stable Diffusion in one file: its family, and the published configurations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig

from diffseg.backbones import BrokenWeights
from diffseg.backbones.text_encoding import TEXT_MODELS
from diffseg.backbones.weights.single_file import ARCHITECTURES, MARKER, TEXT_MARKERS, family_of

SIZES = {  # numbers of weights of the published models
    "sd1": (859_520_964, 83_653_863, {"": 123_060_480}),
    "sd2": (865_910_724, 83_653_863, {"": 340_387_840}),
    "sdxl": (2_567_463_684, 83_653_863, {"": 123_060_480, "_2": 694_659_840}),
}


@pytest.mark.parametrize("family", SIZES)
def test_published_configurations_have_the_published_number_of_weights(family: str) -> None:
    def count(module: torch.nn.Module) -> int:
        return sum(weight.numel() for weight in module.parameters())

    published, (unet, vae, texts) = ARCHITECTURES[family], SIZES[family]
    with torch.device("meta"):
        assert count(UNet2DConditionModel.from_config(published["unet"])) == unet
        assert count(AutoencoderKL.from_config(published["vae"])) == vae
        for suffix, weights in texts.items():
            config = CLIPTextConfig(**published[f"text_encoder{suffix}"])
            assert count(TEXT_MODELS[suffix](config)) == weights


def write(folder: Path, *names: str) -> Path:
    save_file({name: torch.zeros(1) for name in names}, folder / "model.safetensors")
    return folder / "model.safetensors"


def test_a_file_of_no_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenWeights, match=f"holds no complete Stable Diffusion: it lacks {MARKER}"):
        family_of(write(tmp_path, *TEXT_MARKERS.values()))
    with pytest.raises(BrokenWeights, match=r"holds no text encoder of Stable Diffusion 1.x, 2.x or XL"):
        family_of(write(tmp_path, MARKER))
