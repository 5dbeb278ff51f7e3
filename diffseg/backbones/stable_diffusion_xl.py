"""Stable Diffusion XL and its distillations as backbones: `stable_diffusion` with another shape and prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from diffseg.backbones import Dtype
from diffseg.backbones.stable_diffusion import StableDiffusion


@dataclass(frozen=True)
class StableDiffusionXL(StableDiffusion):
    """Stable Diffusion XL or SSD-1B in the diffusers layout.

    It has no attention at the side of the latent, size / 8. Self-attention layers are at half of that side (10 in SDXL)
    and at a quarter (60). Two text encoders embed the empty prompt. The U-Net's size inputs say that the picture is
    ``size`` pixels wide and high, and not cropped.

    Attributes: as for `StableDiffusion`. ``size`` is a positive multiple of 32.
    """

    FACTORS: ClassVar[tuple[int, ...]] = (2, 4)
    TEXT_ENCODERS: ClassVar[tuple[str, ...]] = ("", "_2")
    FAMILIES: ClassVar[tuple[str, ...]] = ("sdxl",)

    path: str = "stabilityai/stable-diffusion-xl-base-1.0"
    size: int = 1024

    @property
    def vae_dtype(self) -> Dtype:
        """``dtype``, but float32 instead of float16, because the published VAE overflows in float16."""
        return "float32" if self.dtype == "float16" else self.dtype
