"""Latent diffusion models: their sides, their files and their fingerprint."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from diffseg import parts
from diffseg.backbones import MissingWeights
from diffseg.backbones.diffusion_transformer import StableDiffusion3
from diffseg.backbones.latent_diffusion import LatentDiffusion
from diffseg.backbones.stable_diffusion import StableDiffusion


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 500}, "^size: .*multiple of 64, got 500"),
        ({"size": 0}, "^size: .*64, got 0"),
        ({"timestep": 1000}, "^timestep: .*999, got 1000"),
        ({"timestep": -1}, "^timestep: .*0, got -1"),
        ({"path": ""}, "^path: .*at least 1"),
        ({"sise": 64}, "^sise: .*did you mean size"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parts.build({**parts.read("backbone", "sd14"), **change})


def test_specs_that_differ_in_the_time_step_share_the_encoder() -> None:
    spec = LatentDiffusion("somebody/model")
    later = replace(spec, timestep=5, tuned={"diffseg": {}})
    assert later.encoder == spec.encoder
    assert later.pass_settings != spec.pass_settings == replace(spec, tuned={"diffseg": {}}).pass_settings
    changes: list[dict[str, Any]] = [{"path": "x/y"}, {"size": 64}, {"dtype": "tf32"}, {"compile": True}]
    assert len({spec.encoder, *(replace(spec, **change).encoder for change in changes)}) == 5


def test_every_text_encoder_is_downloaded() -> None:
    published = StableDiffusion3().published
    assert published[:4] == (
        *("vae/config.json", "vae/diffusion_pytorch_model.safetensors"),
        *("transformer/config.json", "transformer/diffusion_pytorch_model.safetensors"),
    )
    assert {"text_encoder/model.safetensors", "text_encoder_2/model.safetensors", "tokenizer_2/vocab.json"} <= {
        *published
    }
    assert len(published) == len(set(published)) == 4 + 2 * 6


def test_fingerprint_follows_the_weights(sd: Path, tmp_path: Path) -> None:
    expected = StableDiffusion(str(sd)).fingerprint
    copy = shutil.copytree(sd, tmp_path / "copy")
    assert StableDiffusion(str(copy)).fingerprint == expected
    weights = load_file(copy / "unet/diffusion_pytorch_model.safetensors")
    weights["conv_in.bias"][0] += 1
    save_file(weights, copy / "unet/diffusion_pytorch_model.safetensors", {"format": "pt"})
    assert StableDiffusion(str(copy)).fingerprint != expected


@pytest.mark.parametrize("name", StableDiffusion().published)
def test_a_missing_file_is_named(sd: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(sd, tmp_path / "copy")
    (copy / name).unlink()
    with pytest.raises(MissingWeights) as caught:
        StableDiffusion(str(copy)).check()
    message = str(caught.value)
    assert name in message
    assert str(copy) in message
    assert "\n" not in message
