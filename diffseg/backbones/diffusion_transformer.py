"""Diffusion transformers as backbones: Stable Diffusion 3 and 3.5, FLUX.1. The models are in `joint_attention`.

Their tokens are patches of 2 x 2 latents, so a picture of P pixels has maps of one side, P / 16. Each block attends to
the tokens of picture and prompt together. The maps are the picture's part of that attention, with rows normalised
again. The time step is that of flow matching: t in 0..1000 is the noise level sigma = t / 1000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Le, MultipleOf
from pydantic import Field

from diffseg.backbones.latent_diffusion import TRAINED_TIMESTEPS, LatentDiffusion, Weights
from diffseg.backbones.weights.files import read_json, whole_number
from diffseg.isolation import isolated

if TYPE_CHECKING:
    from diffseg.backbones.joint_attention import JointAttention


@dataclass(frozen=True)
class DiffusionTransformer(LatentDiffusion):
    """A diffusion transformer, the base class of the two families below.

    Attributes: as for `LatentDiffusion`.
        FAMILY: "sd3" or "flux".
        BLOCK_COUNTS: keys of the transformer's configuration whose sum is its number of blocks.
    """

    FAMILY: ClassVar[str] = "sd3"
    DENOISER: ClassVar[str] = "transformer"
    FACTORS: ClassVar[tuple[int, ...]] = (2,)
    BLOCK_COUNTS: ClassVar[tuple[str, ...]] = ("num_layers",)

    size: Annotated[
        int, Ge(16), MultipleOf(16), Field(description="side in pixels of the square that enters the VAE")
    ] = 1024
    timestep: Annotated[
        int,
        Ge(0),
        Le(TRAINED_TIMESTEPS),
        Field(description="time step of the pass: 1000 x noise level of flow matching; no noise is added at any"),
    ] = 300
    blocks: Annotated[
        tuple[Annotated[int, Ge(0)], ...],
        Field(min_length=1, description="blocks whose attention is averaged, counted from 0"),
    ] = (8, 9, 10, 11, 12, 13, 14, 15)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.blocks)) < len(self.blocks):
            raise ValueError(f"blocks: must be distinct, got {list(self.blocks)}")

    @property
    def pass_settings(self) -> tuple[object, ...]:
        """A pass depends on the time step and the blocks."""
        return self.timestep, self.blocks

    def check(self) -> None:
        """Raises `WeightsError` if a file is missing or damaged, ValueError if there are fewer blocks than chosen."""
        super().check()
        file = self.models[self.DENOISER].config
        config = read_json(file)
        count = sum(whole_number(config, key, file) for key in self.BLOCK_COUNTS)
        if max(self.blocks) >= count:
            raise ValueError(f"blocks: must be 0..{count - 1} for {self.path}, got {list(self.blocks)}")

    @isolated
    def load(self, device: str = "auto") -> JointAttention:
        """Loads the weights onto ``device``. Raises as `check`, and ValueError if the model has another shape."""
        from diffseg.backbones.latent_loading import load_transformer

        self.check()
        return load_transformer(self, device)


@dataclass(frozen=True)
class StableDiffusion3(DiffusionTransformer):
    """Stable Diffusion 3 or 3.5 (Esser et al., ICML 2024). The third text encoder, T5, is left out.

    The model was trained to work without T5, whose 256 tokens are then zeros.
    """

    TEXT_ENCODERS: ClassVar[tuple[str, ...]] = ("", "_2")

    path: Weights = "stabilityai/stable-diffusion-3.5-medium"


@dataclass(frozen=True)
class Flux(DiffusionTransformer):
    """FLUX.1. Its prompt is CLIP's embedding of the empty text. T5, which computes the text tokens, is left out.

    So the model gets no text tokens, although it was never trained without them. Block numbers run through both kinds:
    first the 19 with separate streams for picture and text, then the 38 with a single stream.
    """

    FAMILY: ClassVar[str] = "flux"
    TEXT_ENCODERS: ClassVar[tuple[str, ...]] = ("",)
    DENOISER_WEIGHTS: ClassVar[tuple[str, ...]] = (
        "diffusion_pytorch_model.safetensors.index.json",
        *(f"diffusion_pytorch_model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)),
    )
    BLOCK_COUNTS: ClassVar[tuple[str, ...]] = ("num_layers", "num_single_layers")

    path: Weights = "black-forest-labs/FLUX.1-schnell"
