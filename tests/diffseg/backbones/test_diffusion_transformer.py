"""Diffusion transformers as backbones: their configuration keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from diffseg.backbones.diffusion_transformer import Flux, StableDiffusion3


@pytest.mark.parametrize(
    "change", [{"size": 40}, {"timestep": 1001}, {"blocks": ()}, {"blocks": (1, 1)}, {"blocks": (-1,)}]
)
def test_values_out_of_range_are_refused(change: dict[str, Any]) -> None:
    for kind in (StableDiffusion3, Flux):
        with pytest.raises(ValueError, match=next(iter(change))):
            replace(kind(), **change)


def test_a_location_is_two_latents_wide() -> None:
    assert StableDiffusion3(size=1024).sides == Flux(size=1024).sides == (64,)
    assert StableDiffusion3(timestep=1000).timestep == 1000


def test_published_files_are_those_of_the_transformer_in_its_shards() -> None:
    assert [name for name in Flux().published if name.startswith("transformer/")] == [
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        *(f"transformer/diffusion_pytorch_model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)),
    ]
    assert {name.split("/")[0] for name in StableDiffusion3().published} == {
        *("vae", "transformer", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
    }
