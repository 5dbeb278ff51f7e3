"""Stable Diffusion as a backbone: its configuration keys (paper, Sec. 3.1). The model is in `unet_attention`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from diffseg.backbones import BrokenWeights, Dtype
from diffseg.backbones.integrity import check_file
from diffseg.backbones.single_file import family_of
from diffseg.backbones.weights import ModelFiles, Stem, find, local, locate, locate_model, sha256_of
from diffseg.isolation import isolated

if TYPE_CHECKING:
    from diffseg.backbones.unet_attention import UNetAttention

MODEL_FILES = (
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
)
"""Files to download of a published repository in the diffusers layout."""

TOKENIZER_CONFIG = "tokenizer{}/tokenizer_config.json"
TEXT_FILES = ("text_encoder{}/config.json", "text_encoder{}/model.safetensors", TOKENIZER_CONFIG)
"""Files of each text encoder; {} stands for its suffix, see `StableDiffusion.TEXT_ENCODERS`."""

TOKENIZER_LAYOUTS = (
    ("tokenizer{}/vocab.json", "tokenizer{}/merges.txt", "tokenizer{}/special_tokens_map.json"),
    ("tokenizer{}/tokenizer.json",),
)
"""A tokenizer has either of these: the published repositories' files, or the one that transformers writes today."""


def published_files(suffixes: Sequence[str]) -> tuple[str, ...]:
    """Files to download of a published repository whose text encoders have these suffixes."""
    names = (*TEXT_FILES, *TOKENIZER_LAYOUTS[0])
    return (*MODEL_FILES, *(name.format(suffix) for suffix in suffixes for name in names))


PUBLISHED_FILES = published_files([""])

VAE_FACTOR = 8  # pixels along one side of a latent
TRAINED_TIMESTEPS = 1000


@dataclass(frozen=True)
class StableDiffusion:
    """Stable Diffusion 1.x or 2.x (or another latent-diffusion U-Net of that shape) in the diffusers layout.

    One pass of the U-Net over the clean latent of the picture with the empty prompt gives 16 self-attention layers at
    the sides S, S/2, S/4 (5 each) and S/8 (1), S = size / 8.

    Attributes:
        FACTORS: latents along one side of a location, at each side with self-attention; the U-Net halves three times.
        TEXT_ENCODERS: suffixes of the folders of text encoders and tokenizers.
        FAMILIES: keys of `single_file.ARCHITECTURES`.
        path: hub id, looked up in the local cache only, or local folder in the diffusers layout, or one
            .safetensors file in the layout of the authors (`single_file`). safetensors only, whole or in shards, in
            full or half ("fp16") precision.
        size: side P in pixels of the square that enters the VAE, a positive multiple of 64.
        timestep: time step t given to the U-Net, 0..999. No noise is added, whatever it is.
        dtype: of the VAE and the U-Net (see `diffseg.backbones.Dtype`). The text encoder, the collected attention and
            the maps are always float32.
        tuned: see `diffseg.backbones.Backbone`. tau: Table 3 of the paper. DBSCAN's values are not published; these
            were tuned for DINOv2, not for this backbone.

    Raises:
        ValueError: ``size`` or ``timestep`` is out of range.
    """

    FACTORS: ClassVar[tuple[int, ...]] = (1, 2, 4, 8)
    TEXT_ENCODERS: ClassVar[tuple[str, ...]] = ("",)
    FAMILIES: ClassVar[tuple[str, ...]] = ("sd1", "sd2")

    path: str = "CompVis/stable-diffusion-v1-4"
    size: int = 512
    timestep: int = 300
    dtype: Dtype = "float32"
    tuned: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {
            "diffseg": {"tau": {"default": 1.1, "cityscapes27": 0.9}},
            "dbscan": {"eps": 0.02, "min_samples": 5},
        }
    )

    def __post_init__(self) -> None:
        step = VAE_FACTOR * max(self.FACTORS)
        if self.size < step or self.size % step:
            raise ValueError(f"size: must be a positive multiple of {step}, got {self.size}")
        if not 0 <= self.timestep < TRAINED_TIMESTEPS:
            raise ValueError(f"timestep: must be 0..{TRAINED_TIMESTEPS - 1}, got {self.timestep}")

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of the attention maps, finest first: 64, 32, 16, 8 at 512 pixels."""
        return tuple(self.size // VAE_FACTOR // factor for factor in self.FACTORS)

    @property
    def encoder(self) -> tuple[str, int, str]:
        """Specs that differ in the time step share the weights and the latent."""
        return self.path, self.size, self.dtype

    @property
    def vae_dtype(self) -> Dtype:
        """Precision of the VAE."""
        return self.dtype

    @cached_property
    def models(self) -> Mapping[str, ModelFiles]:
        """Folder of each model in the diffusers layout, such as "unet" -> its files. Raises `WeightsError`."""
        published = published_files(self.TEXT_ENCODERS)
        stems: dict[str, Stem] = {"vae": "diffusion_pytorch_model", "unet": "diffusion_pytorch_model"}
        for suffix in self.TEXT_ENCODERS:
            stems[f"text_encoder{suffix}"] = "model"
        return {part: locate_model(self.path, part, stem, published) for part, stem in stems.items()}

    @cached_property
    def tokenizers(self) -> Mapping[str, tuple[Path, ...]]:
        """Suffix of each text encoder -> the files of its tokenizer. Raises `WeightsError`."""
        published = published_files(self.TEXT_ENCODERS)
        path = str(self.checkpoint.parent) if self.checkpoint else self.path
        found = {}
        for suffix in self.TEXT_ENCODERS:
            layouts = [[name.format(suffix) for name in layout] for layout in TOKENIZER_LAYOUTS]
            layout = next((each for each in layouts if all(find(path, name) for name in each)), layouts[0])
            names = [TOKENIZER_CONFIG.format(suffix), *layout]
            folder = locate(path, names, published)
            found[suffix] = tuple(folder / name for name in names)
        return found

    @cached_property
    def checkpoint(self) -> Path | None:
        """The one file of the weights; None: they are a folder. Raises `WeightsError`."""
        file = local(self.path)
        if file is None or not file.is_file():
            return None
        if file.suffix != ".safetensors":
            raise BrokenWeights(file, "is no .safetensors file", "give one, or a folder in the diffusers layout")
        check_file(file)
        if (family := family_of(file)) not in self.FAMILIES:
            raise BrokenWeights(
                file,
                f"is a {family} checkpoint, and {type(self).__name__} takes {' or '.join(self.FAMILIES)}",
                "take backbone=sd14, sd15 or sd21 for Stable Diffusion 1.x and 2.x, backbone=sdxl for XL",
            )
        return file

    @cached_property
    def configs(self) -> Mapping[str, Path] | None:
        """Configurations in the folder of the `checkpoint`, such as "unet" -> file; None: it has no such folders."""
        assert self.checkpoint is not None
        folder = self.checkpoint.parent
        parts = ["unet", "vae", *(f"text_encoder{suffix}" for suffix in self.TEXT_ENCODERS)]
        if not (folder / "unet").is_dir():
            return None
        names = [f"{part}/config.json" for part in parts]
        locate(str(folder), names)
        return {part: folder / name for part, name in zip(parts, names, strict=True)}

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """All that is read, on this machine. Raises `WeightsError`."""
        if self.checkpoint is not None:
            if self.configs is None:
                return (self.checkpoint,)
            tokenizers = [file for files in self.tokenizers.values() for file in files]
            return self.checkpoint, *self.configs.values(), *tokenizers
        models = self.models
        encoders = [
            file
            for suffix, (config, *_) in self.tokenizers.items()
            for file in (*models[f"text_encoder{suffix}"].all, config)
        ]
        layouts = [file for _, *layout in self.tokenizers.values() for file in layout]
        return *models["vae"].all, *models["unet"].all, *encoders, *layouts

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over `files`. Raises `WeightsError`."""
        return sha256_of(self.files)

    def check(self) -> None:
        """Raises `WeightsError` when a file is missing or damaged. Touches no network, imports no torch."""
        _ = self.files

    @isolated
    def load(self, device: str = "auto") -> UNetAttention:
        """Loads the weights onto ``device``.

        Raises:
            WeightsError: a file is missing or damaged, or does not fit the others.
            ValueError: the device does not exist, or the model is not of Stable Diffusion's shape.
        """
        from diffseg.backbones.unet_loading import load

        return load(self, device)
