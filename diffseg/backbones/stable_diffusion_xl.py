"""Stable Diffusion XL and its distillations as backbones: the same as `stable_diffusion` but for shape and prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from diffseg.backbones import Dtype
from diffseg.backbones.stable_diffusion import StableDiffusion


@dataclass(frozen=True)
class StableDiffusionXL(StableDiffusion):
    """Stable Diffusion XL or SSD-1B in the diffusers layout.

    There is no attention at the side of the latent, size / 8: the self-attention layers are at half of it (10 of them
    in SDXL) and at a quarter (60). Two text encoders embed the empty prompt; the U-Net is told that the picture was
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
        """As ``dtype``, but float32 instead of float16: the published VAE overflows there and gives NaN."""
        return "float32" if self.dtype == "float16" else self.dtype
