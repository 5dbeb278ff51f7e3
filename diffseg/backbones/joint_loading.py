"""Loads the parts of a diffusion transformer from local files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from diffseg.backbones.device import pick_device
from diffseg.backbones.joint_attention import PATCH, JointAttention
from diffseg.backbones.latent_diffusion import VAE_FACTOR
from diffseg.backbones.text_encoding import check_prompt_width, load_tokenizer, tokenize
from diffseg.backbones.weights.pretrained import configured, guarded, pretrained
from diffseg.precision import weights_dtype

if TYPE_CHECKING:
    from diffseg.backbones.diffusion_transformer import DiffusionTransformer

T5_LENGTH = 256  # tokens of T5 in the pipeline of Stable Diffusion 3; without T5 they are zeros


def load(spec: DiffusionTransformer, device: str = "auto") -> JointAttention:
    """Loads the model; called by `DiffusionTransformer.load`."""
    target = pick_device(device)
    kind = FluxTransformer2DModel if spec.FAMILY == "flux" else SD3Transformer2DModel
    vae = pretrained(AutoencoderKL, spec.models["vae"], weights_dtype(spec.vae_dtype), low_cpu_mem_usage=False)
    del vae.decoder  # never used
    transformer = pretrained(kind, spec.models["transformer"], weights_dtype(spec.dtype), low_cpu_mem_usage=False)
    check_shape(vae, transformer, spec)
    prompt, pooled = (_flux_prompt if spec.FAMILY == "flux" else _sd3_prompt)(spec, transformer.config)
    return JointAttention(vae, transformer, prompt, pooled, spec, target)


def check_shape(vae: AutoencoderKL, transformer: Any, spec: DiffusionTransformer) -> None:
    """Raises ValueError if the model has other sides than the spec, or needs other inputs than a latent."""
    model = f"path: the model of {spec.path}"
    if (factor := 2 ** (len(vae.config.block_out_channels) - 1)) != VAE_FACTOR:
        raise ValueError(f"{model} encodes {factor} pixels to a latent; only {VAE_FACTOR} are supported")
    config = transformer.config
    channels = config.in_channels // PATCH**2 if spec.FAMILY == "flux" else config.in_channels
    if channels != vae.config.latent_channels:
        raise ValueError(
            f"{model} takes {channels} channels, but its VAE has {vae.config.latent_channels}: models that edit, "
            "fill or take depth are not supported"
        )
    if spec.FAMILY == "flux":
        return
    if config.patch_size != PATCH:
        raise ValueError(f"{model} has patches of {config.patch_size} latents; only {PATCH} is supported")
    if max(spec.sides) > (largest := config.pos_embed_max_size):
        raise ValueError(f"size: must be at most {largest * PATCH * VAE_FACTOR} for {spec.path}, got {spec.size}")


@torch.no_grad()
def _encoded(spec: DiffusionTransformer, suffix: str, kind: Any) -> Any:
    """Output of one text encoder for the empty prompt."""
    files, tokenizer = spec.models[f"text_encoder{suffix}"], spec.tokenizers[suffix]
    encoder = pretrained(kind, files, torch.float32, config=configured(CLIPTextConfig, files.config))
    tokens = tokenize(load_tokenizer(tokenizer), "")
    return guarded(partial(encoder, tokens, output_hidden_states=True), (*files.all, *tokenizer), files.folder)


def _sd3_prompt(spec: DiffusionTransformer, config: Any) -> tuple[Tensor, Tensor]:
    """The empty prompt ``(1, 77 + 256, C)`` and ``(1, C')``, embedded as diffusers' pipeline does it without T5."""
    encoded = [_encoded(spec, suffix, CLIPTextModelWithProjection) for suffix in spec.TEXT_ENCODERS]
    clip = torch.cat([each.hidden_states[-2] for each in encoded], dim=-1)
    pooled = torch.cat([each.text_embeds for each in encoded], dim=-1)
    check_prompt_width(pooled, config.pooled_projection_dim, spec.models["transformer"].folder)
    padded = F.pad(clip, (0, config.joint_attention_dim - clip.shape[-1]))
    return torch.cat([padded, padded.new_zeros(1, T5_LENGTH, config.joint_attention_dim)], dim=1), pooled


def _flux_prompt(spec: DiffusionTransformer, config: Any) -> tuple[Tensor, Tensor]:
    """The empty prompt: ``(1, 0, C)``, no text tokens, and ``(1, C')``, CLIP's pooled embedding."""
    pooled = _encoded(spec, "", CLIPTextModel).pooler_output
    check_prompt_width(pooled, config.pooled_projection_dim, spec.models["transformer"].folder)
    return pooled.new_zeros(1, 0, config.joint_attention_dim), pooled
