"""Stable Diffusion XL and its distillations as backbones: `stable_diffusion` with another shape and prompt."""

from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_types import Ge, MultipleOf
from pydantic import Field
from pydantic.dataclasses import dataclass

from diffseg.backbones import Dtype
from diffseg.backbones.stable_diffusion import StableDiffusion


@dataclass(frozen=True)
class StableDiffusionXL(StableDiffusion):
    """Stable Diffusion XL or SSD-1B in the diffusers layout.

    It has no attention at the side of the latent, size / 8. Self-attention layers are at half of that side (10 in SDXL)
    and at a quarter (60). Two text encoders embed the empty prompt. The U-Net's size inputs say that the picture is
    ``size`` pixels wide and high, and not cropped.

    Attributes: as for `StableDiffusion`.
    """

    FACTORS: ClassVar[tuple[int, ...]] = (2, 4)
    TEXT_ENCODERS: ClassVar[tuple[str, ...]] = ("", "_2")
    FAMILIES: ClassVar[tuple[str, ...]] = ("sdxl",)

    path: Annotated[
        str,
        Field(
            min_length=1,
            description="hub id (local cache only), a folder in the diffusers layout, or a .safetensors file in the "
            "authors' layout",
        ),
    ] = "stabilityai/stable-diffusion-xl-base-1.0"
    size: Annotated[
        int, Ge(32), MultipleOf(32), Field(description="side in pixels of the square that enters the VAE")
    ] = 1024
    dtype: Annotated[
        Dtype,
        Field(description="precision of VAE and U-Net: float32 (strict), tf32, bfloat16, float16 (the VAE: float32)"),
    ] = "float32"

    @property
    def vae_dtype(self) -> Dtype:
        """``dtype``, but float32 instead of float16, because the published VAE overflows in float16."""
        return "float32" if self.dtype == "float16" else self.dtype
