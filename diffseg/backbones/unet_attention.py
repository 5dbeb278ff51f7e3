"""Collects the self-attention of a latent-diffusion U-Net while it runs (paper, Sec. 3.1 and Eq. 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from diffseg.attention import AttentionMaps
from diffseg.backbones.collecting import AllCollected, Collector
from diffseg.backbones.latents import LatentModel, check_vae, provenance_of
from diffseg.precision import float32_products

if TYPE_CHECKING:
    from diffseg.backbones.stable_diffusion import StableDiffusion


class SelfAttentionCollector(Collector):
    """Attention processor of diffusers for self-attention layers that also keeps the attention, heads averaged.

    The layer's output equals that of diffusers' ``AttnProcessor2_0``. Parts that self-attention in a transformer block
    never uses are left out (4-D input, mask, group or spatial norm, residual).

    Attributes:
        features: ``(B, N, C)``, output of the encoder's last self-attention layer: DiffCut's features.
    """

    def __init__(self, last: int | None = None) -> None:
        """``last``: the pass stops after this layer, counted from 1. None: it runs to the end."""
        super().__init__()
        self.last = last
        self.features = torch.empty(0)

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """``(B, N, C)`` to ``(B, N, C)``, as diffusers calls it; the last two arguments are None in self-attention."""

        def projected(projection: nn.Module) -> Tensor:
            return projection(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        stop = self.layers.total() + 1 == self.last
        heads = self.add(projected(attn.to_q), projected(attn.to_k), None if stop else projected(attn.to_v))
        if heads is None:
            raise AllCollected
        output = attn.to_out[0](heads.transpose(1, 2).flatten(2))
        return attn.to_out[1](output) / attn.rescale_output_factor


@contextmanager
def replaced_processors(unet: UNet2DConditionModel, chosen: Callable[[str], bool], processor: Any) -> Iterator[None]:
    """Inside the ``with`` block, attention layers use ``processor`` if ``chosen`` accepts their processor's name."""
    original = unet.attn_processors
    unet.set_attn_processor({name: processor if chosen(name) else kept for name, kept in original.items()})
    try:
        yield
    finally:
        unet.set_attn_processor(original)


def _is_self_attention(processor: str) -> bool:
    return processor.endswith("attn1.processor")


@contextmanager
def collect(unet: UNet2DConditionModel, stop: bool = False) -> Iterator[SelfAttentionCollector]:
    """Collects the self-attention (``attn1``) of the pass made inside the ``with`` block.

    With ``stop`` the pass and the block end after the last self-attention layer; the rest of the U-Net does not change
    the attention. Otherwise the pass runs to the end, and collecting does not change its output.
    """
    collector = SelfAttentionCollector(sum(map(_is_self_attention, unet.attn_processors)) if stop else None)
    encoder = [block for block in unet.down_blocks if hasattr(block, "attentions")]
    last = encoder[-1].attentions[-1].transformer_blocks[-1].attn1
    hook = last.register_forward_hook(lambda _layer, _inputs, output: setattr(collector, "features", output))
    with replaced_processors(unet, _is_self_attention, collector):
        try:
            yield collector
        except AllCollected:
            pass
        finally:
            hook.remove()


class UNetAttention(LatentModel):
    """A loaded Stable Diffusion model; its denoiser is a U-Net. Only Stable Diffusion XL has a pooled embedding."""

    @property
    def unet(self) -> UNet2DConditionModel:
        """The U-Net whose attention is collected."""
        return self.denoiser

    def attend_encoded(
        self, latents: Tensor, spec: StableDiffusion, prompt: Tensor | None = None
    ) -> list[AttentionMaps]:
        """Runs the U-Net at the spec's time step; see `AttentionModel.attend`, and `predict` for the prompt.

        Without a prompt the pass ends after the last self-attention layer. With a prompt it runs to the end, because
        the caller may collect the cross-attention, too.
        """
        with collect(self.unet, stop=prompt is None) as collected:
            self.predict(latents, spec.timestep, prompt)
        return collected.maps(collected.features, provenance_of(spec))

    @torch.no_grad()
    def predict(self, latents: Tensor, timestep: int, prompt: Tensor | None = None) -> Tensor:
        """Predicts the noise of latents, of the same shape, with an embedded prompt (None: the empty one)."""
        prompts = (self.prompt if prompt is None else prompt.to(self.prompt)).expand(len(latents), -1, -1)
        added = None
        if self.pooled is not None:
            size = self.spec.size  # size of the original picture, corner of the crop, size of the target
            times = self.pooled.new_tensor([size, size, 0, 0, size, size]).expand(len(latents), -1)
            added = {"text_embeds": self.pooled.expand(len(latents), -1), "time_ids": times}
        with float32_products(tf32=self.spec.dtype == "tf32"):
            return self.unet(latents.to(self.unet.dtype), timestep, prompts, added_cond_kwargs=added).sample


def check_unet(vae: AutoencoderKL, unet: UNet2DConditionModel, spec: StableDiffusion) -> None:
    """Raises ValueError if the model has other sides than the spec, or needs other inputs than a latent."""
    check_vae(vae, unet.config.in_channels, spec, "inpainting, depth and upscaling models")
    kinds = unet.config.down_block_types
    factors = {2**number for number, kind in enumerate(kinds) if "CrossAttn" in kind}
    if "CrossAttn" in (unet.config.mid_block_type or ""):
        factors.add(2 ** (len(kinds) - 1))
    model = f"path: the model of {spec.path}"
    if min(spec.FACTORS) not in factors:
        raise ValueError(
            f"{model} has no attention at the finest side of a {type(spec).__name__}; use Stable Diffusion 1.x or 2.x "
            "with backbone=sd14, sd15 or sd21, XL with backbone=sdxl or ssd1b"
        )
    if factors != set(spec.FACTORS):
        raise ValueError(f"{model} downsamples a latent by {max(factors)}; only {max(spec.FACTORS)} is supported")
