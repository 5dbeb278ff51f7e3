"""Latents: the mean of the VAE's posterior, shifted and scaled."""

from __future__ import annotations

import pytest
import torch
from diffusers import (
    AutoencoderKL,
)

from diffseg.backbones.latent_diffusion import LatentDiffusion
from diffseg.backbones.latents import latents_of
from experiments.bench.tiny_sd import pictures
from tests.helpers.tiny_transformers import tiny_vae

SPEC = LatentDiffusion("somebody/model", size=64)


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return tiny_vae().eval()


def test_latents_are_shifted_and_scaled(vae: AutoencoderKL) -> None:
    images = pictures(64, 2)
    with torch.no_grad():
        mode = vae.encode(images / 127.5 - 1).latent_dist.mode()
    latents = latents_of(vae, images, SPEC)
    assert latents.shape == (2, 16, 8, 8)
    torch.testing.assert_close(latents, (mode - 0.0609) * 1.5305)


def test_a_vae_in_half_precision_has_float32_latents(vae: AutoencoderKL) -> None:
    half = tiny_vae().eval()
    half.load_state_dict(vae.state_dict())
    images = pictures(64)
    latents = latents_of(half.to(torch.bfloat16), images, SPEC)
    assert latents.dtype == torch.float32
    assert 0 < (latents - latents_of(vae, images, SPEC)).abs().max() < 0.1


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (3, 64, 64), (1, 1, 64, 64)])
def test_images_of_another_shape_are_refused(vae: AutoencoderKL, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images: must have shape \('B', 3, 64, 64\)"):
        latents_of(vae, torch.zeros(shape), SPEC)
