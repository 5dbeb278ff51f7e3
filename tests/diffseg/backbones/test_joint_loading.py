"""Diffusion transformers: models that this project cannot run are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
)

from diffseg.backbones.diffusion_transformer import DiffusionTransformer, Flux, StableDiffusion3
from diffseg.backbones.joint_loading import check_shape
from tests.helpers.tiny_transformers import tiny_vae

SD3 = StableDiffusion3(size=128)


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


def test_models_that_fit_are_accepted() -> None:
    check_shape(vae({}), transformer(SD3, {}), SD3)
    check_shape(vae({}), transformer(Flux(), {}), Flux())  # its 64 channels are 16 of 2 x 2 latents


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
        check_shape(vae(encoder), transformer(spec, denoiser), spec)
