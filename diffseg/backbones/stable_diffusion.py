"""Stable Diffusion as a backbone: its configuration keys (paper, Sec. 3.1). The model is in `unet_attention`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, MultipleOf
from pydantic import Field

from diffseg.backbones import BrokenWeights, Dtype
from diffseg.backbones.latent_diffusion import LatentDiffusion
from diffseg.backbones.weights.files import check_file, local, locate
from diffseg.backbones.weights.single_file import family_of
from diffseg.isolation import isolated

if TYPE_CHECKING:
    from diffseg.backbones.unet_attention import UNetAttention

Checkpoint = Annotated[
    str,
    Field(
        min_length=1,
        description="hub id (local cache only), a folder in the diffusers layout (safetensors, whole or in shards, "
        "full or half precision), or a .safetensors file in the authors' layout",
    ),
]


@dataclass(frozen=True)
class StableDiffusion(LatentDiffusion):
    """Stable Diffusion 1.x or 2.x (or another latent-diffusion U-Net of the same shape).

    The U-Net runs once over the clean latent of the picture, with the empty prompt. It has 16 self-attention layers at
    the sides S, S/2, S/4 (5 each) and S/8 (1), S = size / 8: 64, 32, 16 and 8 at 512 pixels.

    Attributes: as for `LatentDiffusion`. ``path`` may also be one .safetensors file in the authors' layout, see
        `diffseg.backbones.weights.single_file`.
        FAMILIES: keys of `single_file.ARCHITECTURES` that this class loads.
    """

    FAMILIES: ClassVar[tuple[str, ...]] = ("sd1", "sd2")

    path: Checkpoint = "CompVis/stable-diffusion-v1-4"
    size: Annotated[
        int,
        Ge(64),
        MultipleOf(64),
        Field(description="side in pixels of the square that enters the VAE; in the paper 512 and 320"),
    ] = 512

    @cached_property
    def checkpoint(self) -> Path | None:
        """The single file of weights; None if the weights are a folder. Raises `WeightsError`."""
        file = local(self.path)
        if file is None or not file.is_file():
            return None
        if file.suffix != ".safetensors":
            raise BrokenWeights(file, "is not a .safetensors file", "give one, or a folder in the diffusers layout")
        check_file(file)
        if (family := family_of(file)) not in self.FAMILIES:
            raise BrokenWeights(
                file,
                f"is a {family} checkpoint, and {type(self).__name__} takes {' or '.join(self.FAMILIES)}",
                "take backbone=sd14, sd15 or sd21 for Stable Diffusion 1.x and 2.x, backbone=sdxl for XL",
            )
        return file

    @cached_property
    def configs(self) -> Mapping[str, Path]:
        """Configurations in the folder of the `checkpoint`, such as "unet" -> file; empty if it has no ``unet/``."""
        if self.checkpoint is None or not (self.checkpoint.parent / "unet").is_dir():
            return {}
        folder = self.checkpoint.parent
        parts = ["unet", "vae", *(f"text_encoder{suffix}" for suffix in self.TEXT_ENCODERS)]
        names = {part: f"{part}/config.json" for part in parts}
        locate(str(folder), list(names.values()))
        return {part: folder / name for part, name in names.items()}

    @cached_property
    def tokenizers(self) -> Mapping[str, tuple[Path, ...]]:
        """As in `LatentDiffusion`; empty for a `checkpoint` without `configs`."""
        return super().tokenizers if self.checkpoint is None or self.configs else {}

    @cached_property
    def files(self) -> tuple[Path, ...]:
        if self.checkpoint is None:
            return super().files
        tokenizers = [file for files in self.tokenizers.values() for file in files]
        return self.checkpoint, *self.configs.values(), *tokenizers

    @isolated
    def load(self, device: str = "auto") -> UNetAttention:
        """Loads the weights onto ``device``. Raises as `check`, and ValueError if the model has another shape."""
        from diffseg.backbones.latent_loading import load_unet

        return load_unet(self, device)


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

    path: Checkpoint = "stabilityai/stable-diffusion-xl-base-1.0"
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
