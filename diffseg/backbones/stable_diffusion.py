"""Stable Diffusion as a backbone: its configuration keys (paper, Sec. 3.1). The model is in `unet_attention`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from diffseg.backbones import Dtype, MissingWeights
from diffseg.backbones.weights import locate, sha256_of
from diffseg.isolation import isolated

if TYPE_CHECKING:
    from diffseg.backbones.unet_attention import UNetAttention

MODEL_FILES = (
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
)
"""What is read of a folder or repository in the diffusers layout; it has no other effect on the attention."""

TEXT_FILES = ("text_encoder{}/config.json", "text_encoder{}/model.safetensors", "tokenizer{}/tokenizer_config.json")
"""And these for each text encoder, {} its suffix in `StableDiffusion.TEXT_ENCODERS`."""

TOKENIZER_LAYOUTS = (
    ("tokenizer{}/vocab.json", "tokenizer{}/merges.txt", "tokenizer{}/special_tokens_map.json"),
    ("tokenizer{}/tokenizer.json",),
)
"""And either of these: the published repositories' files, or the one that transformers writes today."""


def published_files(suffixes: Sequence[str]) -> tuple[str, ...]:
    """What to download of a published repository whose text encoders have these suffixes."""
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
        path: hub id, looked up in the local cache only, or local folder. safetensors only, one file a part.
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
    def files(self) -> tuple[Path, ...]:
        """`MODEL_FILES`, `TEXT_FILES` and a tokenizer layout, on this machine. Raises `MissingWeights`."""
        files = [*MODEL_FILES, *(name.format(suffix) for suffix in self.TEXT_ENCODERS for name in TEXT_FILES)]
        try:
            folder = locate(self.path, files, published_files(self.TEXT_ENCODERS))
        except MissingWeights as missing:
            if ".safetensors" not in str(missing):
                raise
            raise MissingWeights(f"{missing} (sharded, .fp16. and .bin weights are not read)") from None
        for suffix in self.TEXT_ENCODERS:
            layouts = [[name.format(suffix) for name in layout] for layout in TOKENIZER_LAYOUTS]
            whole = next((layout for layout in layouts if all((folder / name).is_file() for name in layout)), None)
            if whole is None:
                locate(self.path, layouts[0], published_files(self.TEXT_ENCODERS))  # says which is missing
                raise MissingWeights(f"path: {self.path} has no whole tokenizer")
            files += whole
        return tuple(folder / name for name in files)

    @property
    def folder(self) -> Path:
        """Folder of the weights. Raises `MissingWeights`."""
        return self.files[0].parents[1]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over `files`. Raises `MissingWeights`."""
        return sha256_of(self.files)

    def check(self) -> None:
        """Raises `MissingWeights` when a file is not on this machine. Touches no network, imports no torch."""
        _ = self.files

    @isolated
    def load(self, device: str = "auto") -> UNetAttention:
        """Loads the weights onto ``device``.

        Raises:
            MissingWeights: a file is not on this machine.
            ValueError: the device does not exist, or the model is not of Stable Diffusion's shape.
        """
        from diffseg.backbones.unet_attention import load

        return load(self, device)
