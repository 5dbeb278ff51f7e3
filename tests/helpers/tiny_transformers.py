"""Writes random diffusion transformers in the layout of the published pipelines of diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from experiments.bench import tiny_sd

WIDTHS = (32, 48)  # widths of the text encoders
BLOCKS = {"sd3": 3, "sd35": 3, "flux": 4}
JOINT_WIDTH = 96


def tiny_vae() -> AutoencoderKL:
    numbers = {"latent_channels": 16, "scaling_factor": 1.5305, "shift_factor": 0.0609}
    return tiny_sd.tiny_vae(**numbers, use_quant_conv=False, use_post_quant_conv=False)


def text_encoder(kind: Any, width: int, folder: Path, pad: str) -> tuple[Any, CLIPTokenizer]:
    vocabulary = tiny_sd.save_tokenizer(folder, pad)
    return kind(tiny_sd.tiny_text_config(vocabulary, width)), CLIPTokenizer.from_pretrained(folder)


def sharpen(transformer: nn.Module) -> None:
    """Enlarges weights. A new layer attends to everything alike, and its gates are near zero: both hide mistakes."""
    for name, layer in transformer.named_modules():
        if name.endswith(("to_q", "to_k", "add_q_proj", "add_k_proj")):
            layer.weight.data *= 6
        if name.endswith(("norm_q", "norm_k")):
            layer.weight.data *= 2
        if "norm1" in name and name.endswith("linear"):
            layer.weight.data *= 3


def build_tiny_transformer(name: str, folder: Path, guidance: bool = False) -> Path:
    """Writes a pipeline without T5 to ``folder``, and returns ``folder``. ``name``: a key of `BLOCKS`."""
    torch.manual_seed(0)
    scheduler = FlowMatchEulerDiscreteScheduler()
    scratch = folder.parent / f"{folder.name}-tokenizers"
    pipeline: Any
    if name == "flux":
        transformer: Any = FluxTransformer2DModel(
            in_channels=64,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=JOINT_WIDTH,
            pooled_projection_dim=WIDTHS[0],
            guidance_embeds=guidance,
            axes_dims_rope=(4, 6, 6),
        )
        encoder, tokenizer = text_encoder(CLIPTextModel, WIDTHS[0], scratch / "1", "<|endoftext|>")
        pipeline = FluxPipeline(scheduler, tiny_vae(), encoder, tokenizer, None, None, transformer)
    else:
        transformer = SD3Transformer2DModel(
            sample_size=16,
            num_layers=BLOCKS[name],
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=JOINT_WIDTH,
            caption_projection_dim=32,
            pooled_projection_dim=sum(WIDTHS),
            pos_embed_max_size=8,
            dual_attention_layers=(0, 1) if name == "sd35" else (),
            qk_norm="rms_norm" if name == "sd35" else None,
        )
        pairs = (("<|endoftext|>", WIDTHS[0]), ("!", WIDTHS[1]))
        (first, one), (second, two) = (
            text_encoder(CLIPTextModelWithProjection, width, scratch / str(width), pad) for pad, width in pairs
        )
        pipeline = StableDiffusion3Pipeline(
            transformer, scheduler, tiny_vae(), first, one, second, two, text_encoder_3=None, tokenizer_3=None
        )
    sharpen(transformer)
    pipeline.save_pretrained(folder)
    return folder
