"""Encodes pictures to the latents of a VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from diffseg.precision import float32_products

if TYPE_CHECKING:
    from diffseg.backbones.latent_diffusion import LatentDiffusion

HALF_RANGE = 127.5  # half of the largest pixel value; a VAE takes -1..1


def placed(vae: AutoencoderKL, spec: LatentDiffusion, device: torch.device) -> AutoencoderKL:
    """Moves the VAE to the device. If ``spec.compile`` is set, its encoder is compiled on first use."""
    vae.to(device)
    if spec.compile:
        vae.encoder.compile()
    return vae


@torch.no_grad()
def latents_of(vae: AutoencoderKL, images: Tensor, spec: LatentDiffusion) -> Tensor:
    """Encodes pictures for the denoiser: the posterior mean, without noise, shifted and scaled.

    Args:
        vae: the encoder.
        images: ``(B, 3, P, P)`` RGB in [0, 255].
        spec: gives P and the precision.

    Returns:
        ``(B, C, P/8, P/8)`` float32.

    Raises:
        ValueError: the images have another shape.
    """
    expected = (3, spec.size, spec.size)
    if images.ndim != len(expected) + 1 or tuple(images.shape[1:]) != expected:
        raise ValueError(f"images: must have shape {('B', *expected)}, got {tuple(images.shape)}")
    pixels = images.to(vae.device, torch.float32) / HALF_RANGE - 1
    with float32_products(tf32=spec.vae_dtype == "tf32"):
        mean = vae.encode(pixels.to(vae.dtype)).latent_dist.mean
    return (mean.float() - (vae.config.shift_factor or 0)) * vae.config.scaling_factor
