"""Collects the attention among the picture's tokens while a diffusion transformer runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel
from torch import Tensor, nn

from diffseg.attention import AttentionMaps
from diffseg.backbones.collecting import LayerCollector
from diffseg.backbones.latent_diffusion import TRAINED_TIMESTEPS
from diffseg.backbones.latents import LatentModel, check_vae, provenance_of
from diffseg.precision import float32_products

if TYPE_CHECKING:
    from diffseg.backbones.diffusion_transformer import DiffusionTransformer

Transformer: TypeAlias = SD3Transformer2DModel | FluxTransformer2DModel

GUIDANCE = 3.5  # strength of guidance, an input of FLUX.1-dev: the default of its pipeline
PATCH = 2  # latents along one side of a token


class JointAttention(LatentModel):
    """A loaded diffusion transformer."""

    @property
    def transformer(self) -> Transformer:
        """The transformer whose attention is collected."""
        return self.denoiser

    @property
    def layers(self) -> list[nn.Module]:
        """The joint attention module of each block, in the order of execution."""
        single = getattr(self.transformer, "single_transformer_blocks", ())
        return [block.attn for block in [*self.transformer.transformer_blocks, *single]]

    def attend_encoded(self, latents: Tensor, spec: DiffusionTransformer) -> list[AttentionMaps]:
        """Runs the transformer at the spec's time step, up to the last of its blocks; see `AttentionModel.attend`.

        The features are the keys of the last chosen block, as for vision transformers.
        """
        tokens = spec.sides[0] ** 2
        # The prompt's tokens come first in FLUX, last in Stable Diffusion 3.
        picture = slice(-tokens, None) if isinstance(self.transformer, FluxTransformer2DModel) else slice(tokens)
        layers = self.layers
        with LayerCollector([layers[block] for block in spec.blocks], picture) as collected:
            self.predict(latents, spec.timestep)
        blocks = ",".join(map(str, spec.blocks))
        return collected.maps(collected.keys, {**provenance_of(spec), "blocks": blocks})

    @torch.no_grad()
    def predict(self, latents: Tensor, timestep: int) -> Tensor:
        """Predicts the velocity of latents ``(B, C, H, W)`` with the empty prompt, for FLUX as ``(B, n, 4 C)``."""
        batch = len(latents)
        latents = latents.to(self.transformer.dtype)
        assert self.pooled is not None
        prompt = {
            "encoder_hidden_states": self.prompt.expand(batch, -1, -1),
            "pooled_projections": self.pooled.expand(batch, -1),
        }
        time = torch.full((batch,), timestep, dtype=latents.dtype, device=latents.device)
        with float32_products(tf32=self.spec.dtype == "tf32"):
            if isinstance(self.transformer, SD3Transformer2DModel):
                return self.transformer(latents, timestep=time, **prompt).sample
            guidance = torch.full_like(time, GUIDANCE) if self.transformer.config.guidance_embeds else None
            text_ids = latents.new_zeros(self.prompt.shape[1], 3)
            return self.transformer(
                packed(latents),
                timestep=time / TRAINED_TIMESTEPS,  # FLUX takes sigma
                img_ids=positions(latents),
                txt_ids=text_ids,
                guidance=guidance,
                **prompt,
            ).sample


def packed(latents: Tensor) -> Tensor:
    """Turns latents ``(B, C, H, W)`` into the tokens of FLUX, ``(B, H/2 * W/2, 4 C)``, row-major."""
    return F.pixel_unshuffle(latents, PATCH).flatten(2).mT


def positions(latents: Tensor) -> Tensor:
    """Row and column of each token of FLUX: ``(H/2 * W/2, 3)``, the first column 0."""
    height, width = (length // PATCH for length in latents.shape[-2:])
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).flatten(0, 1).to(latents)


def check_transformer(vae: AutoencoderKL, transformer: Transformer, spec: DiffusionTransformer) -> None:
    """Raises ValueError if the model has other sides than the spec, or needs other inputs than a latent."""
    config = transformer.config
    flux = isinstance(transformer, FluxTransformer2DModel)
    channels = config.in_channels // PATCH**2 if flux else config.in_channels
    check_vae(vae, channels, spec, "models that edit, fill or take depth")
    if flux:
        return
    if config.patch_size != PATCH:
        raise ValueError(
            f"path: the model of {spec.path} has patches of {config.patch_size} latents; only {PATCH} is supported"
        )
    if max(spec.sides) > (largest := config.pos_embed_max_size):
        pixels = largest * PATCH * spec.VAE_FACTOR
        raise ValueError(f"size: must be at most {pixels} for {spec.path}, got {spec.size}")
