"""Latent diffusion models in the diffusers layout: their common configuration keys and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le, MultipleOf
from pydantic import Field

from diffseg.backbones import Dtype
from diffseg.backbones.weights.files import ModelFiles, find, locate, locate_model, sha256_of
from diffseg.limits import Checked

TOKENIZER_LAYOUTS = (
    ("tokenizer{}/vocab.json", "tokenizer{}/merges.txt", "tokenizer{}/special_tokens_map.json"),
    ("tokenizer{}/tokenizer.json",),
)
"""A tokenizer has one of these sets of files: that of the published repositories, or that of today's transformers."""

Weights = Annotated[
    str,
    Field(
        min_length=1,
        description="hub id (local cache only), or a folder in the diffusers layout (safetensors, whole or in shards, "
        "full or half precision)",
    ),
]

TRAINED_TIMESTEPS = 1000


@dataclass(frozen=True)
class LatentDiffusion(Checked):
    """A latent diffusion model: a VAE, a denoiser (U-Net or transformer) and text encoders.

    Attributes:
        DENOISER: folder of the denoiser.
        DENOISER_WEIGHTS: names of its weights in the published repository.
        FACTORS: for each side with self-attention, the number of latents along one side of a location.
        TEXT_ENCODERS: suffixes of the folders of text encoders and tokenizers.
        VAE_FACTOR: pixels along one side of a latent.

    The text encoder, the collected attention and the maps are always float32. Compiling takes about 20 seconds once and
    saves about 2 ms a picture on an H200. The classes of each family limit ``size`` to multiples of 8 max(FACTORS).
    """

    DENOISER: ClassVar[str] = "unet"
    DENOISER_WEIGHTS: ClassVar[tuple[str, ...]] = ("diffusion_pytorch_model.safetensors",)
    FACTORS: ClassVar[tuple[int, ...]] = (1, 2, 4, 8)
    TEXT_ENCODERS: ClassVar[tuple[str, ...]] = ("",)
    VAE_FACTOR: ClassVar[int] = 8

    path: Weights
    size: Annotated[int, Ge(8), MultipleOf(8)] = 512
    timestep: Annotated[
        int, Ge(0), Le(TRAINED_TIMESTEPS - 1), Field(description="time step of the pass; no noise is added at any")
    ] = 300
    dtype: Annotated[
        Dtype, Field(description="precision of VAE and denoiser: float32 (strict), tf32, float16, bfloat16")
    ] = "float32"
    compile: Annotated[
        bool, Field(description="let torch compile the VAE's encoder; pays from about 10,000 pictures on")
    ] = False
    tuned: Annotated[
        Mapping[str, Mapping[str, Any]], Field(description="segmenter -> parameter -> value tuned for this backbone")
    ] = field(default_factory=dict)

    @property
    def sides(self) -> tuple[int, ...]:
        return tuple(self.size // self.VAE_FACTOR // factor for factor in self.FACTORS)

    @property
    def encoder(self) -> tuple[str, int, str, bool]:
        """Specs that differ in the time step share the weights and the latent."""
        return self.path, self.size, self.dtype, self.compile

    @property
    def pass_settings(self) -> tuple[object, ...]:
        """A pass depends on the time step."""
        return (self.timestep,)

    @property
    def vae_dtype(self) -> Dtype:
        """Precision of the VAE."""
        return self.dtype

    @property
    def published(self) -> tuple[str, ...]:
        """Files to download from the published repository."""
        weights = "diffusion_pytorch_model.safetensors"
        names = ["vae/config.json", f"vae/{weights}", f"{self.DENOISER}/config.json"]
        names += [f"{self.DENOISER}/{name}" for name in self.DENOISER_WEIGHTS]
        for suffix in self.TEXT_ENCODERS:
            names += [f"text_encoder{suffix}/config.json", f"text_encoder{suffix}/model.safetensors"]
            names += [f"tokenizer{suffix}/tokenizer_config.json"]
            names += [name.format(suffix) for name in TOKENIZER_LAYOUTS[0]]
        return tuple(names)

    @property
    def checkpoint(self) -> Path | None:
        """The single file of weights; None if the weights are a folder."""
        return None

    @property
    def configs(self) -> Mapping[str, Path]:
        """Configurations beside a `checkpoint`."""
        return {}

    @cached_property
    def models(self) -> Mapping[str, ModelFiles]:
        """Folder of each model in the diffusers layout, such as "unet" -> its files. Raises `WeightsError`."""
        parts = ["vae", self.DENOISER, *(f"text_encoder{suffix}" for suffix in self.TEXT_ENCODERS)]
        return {part: locate_model(self.path, part, self.published) for part in parts}

    @cached_property
    def tokenizers(self) -> Mapping[str, tuple[Path, ...]]:
        """Suffix of each text encoder -> the files of its tokenizer. Raises `WeightsError`."""
        path = str(self.checkpoint.parent) if self.checkpoint else self.path
        tokenizers = {}
        for suffix in self.TEXT_ENCODERS:
            layouts = [[name.format(suffix) for name in layout] for layout in TOKENIZER_LAYOUTS]
            layout = next((names for names in layouts if all(find(path, name) for name in names)), layouts[0])
            names = [f"tokenizer{suffix}/tokenizer_config.json", *layout]
            folder = locate(path, names, self.published)
            tokenizers[suffix] = tuple(folder / name for name in names)
        return tokenizers

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """All files that `load` reads. Raises `WeightsError`."""
        models = self.models
        encoders = [
            file
            for suffix, (config, *_) in self.tokenizers.items()
            for file in (*models[f"text_encoder{suffix}"].all, config)
        ]
        layouts = [file for _, *layout in self.tokenizers.values() for file in layout]
        return *models["vae"].all, *models[self.DENOISER].all, *encoders, *layouts

    @cached_property
    def fingerprint(self) -> str:
        return sha256_of(self.files)

    def check(self) -> None:
        _ = self.files
