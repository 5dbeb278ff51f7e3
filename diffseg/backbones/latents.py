"""Base of the loaded latent diffusion models: the VAE, the empty prompt, and the shapes that fit them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from diffseg.backbones import AttentionModel
from diffseg.precision import float32_products

if TYPE_CHECKING:
    from diffseg.backbones.latent_diffusion import LatentDiffusion

HALF_RANGE = 127.5  # half of the largest pixel value; a VAE takes -1..1


class LatentModel(AttentionModel):
    """A loaded latent diffusion model.

    Attributes:
        spec: settings of the backbone.
        vae: encodes the picture. If ``spec.compile`` is set, its encoder is compiled on first use.
        denoiser: the U-Net or transformer whose attention is collected.
        prompt: ``(1, T, C)``, text tokens of the empty prompt; T may be 0.
        pooled: ``(1, C')``, pooled embedding of the empty prompt, or None.
    """

    def __init__(
        self, vae: AutoencoderKL, denoiser: Any, prompt: Tensor, pooled: Tensor | None, spec: Any, device: torch.device
    ) -> None:
        """Moves the modules to ``device``."""
        self.spec = spec
        self.vae = vae.to(device)
        if spec.compile:
            self.vae.encoder.compile()
        self.denoiser = denoiser.to(device)
        self.prompt = prompt.to(device, denoiser.dtype)
        self.pooled = None if pooled is None else pooled.to(self.prompt)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encodes pictures, ``(B, 3, P, P)`` RGB in [0, 255], for the denoiser: ``(B, C, P/8, P/8)`` float32.

        It takes the posterior mean, without noise, shifted and scaled. Raises ValueError for another shape.
        """
        expected = (3, self.spec.size, self.spec.size)
        if images.ndim != len(expected) + 1 or tuple(images.shape[1:]) != expected:
            raise ValueError(f"images: must have shape {('B', *expected)}, got {tuple(images.shape)}")
        pixels = images.to(self.vae.device, torch.float32) / HALF_RANGE - 1
        with float32_products(tf32=self.spec.vae_dtype == "tf32"):
            mean = self.vae.encode(pixels.to(self.vae.dtype)).latent_dist.mean
        return (mean.float() - (self.vae.config.shift_factor or 0)) * self.vae.config.scaling_factor


def provenance_of(spec: LatentDiffusion) -> dict[str, Any]:
    """Provenance of the attention of a pass with the settings ``spec``."""
    return {"model": spec.path, "size": spec.size, "timestep": spec.timestep, "dtype": spec.dtype}


def check_vae(vae: AutoencoderKL, channels: int, spec: LatentDiffusion, others: str) -> None:
    """Raises ValueError unless the VAE fits a denoiser of so many ``channels``. ``others``: models with more."""
    model, own = f"path: the model of {spec.path}", vae.config.latent_channels
    if (factor := 2 ** (len(vae.config.block_out_channels) - 1)) != spec.VAE_FACTOR:
        raise ValueError(f"{model} encodes {factor} pixels to a latent; only {spec.VAE_FACTOR} are supported")
    if channels != own:
        raise ValueError(f"{model} takes {channels} channels, but its VAE has {own}: {others} are not supported")
