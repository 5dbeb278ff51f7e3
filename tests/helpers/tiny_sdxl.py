"""Writes a random Stable Diffusion XL in the layout of the published models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from experiments.bench.tiny_sd import save_tokenizer, tiny_text_config, tiny_vae

WIDTHS = (32, 48)  # widths of the two text encoders
TIME_WIDTH = 8  # width of the embedding of each of the six time ids

# Transformer blocks in each attention of the U-Net: fewer than in SDXL (1, 2, 10), as uneven as in SSD-1B.
BLOCKS: dict[str, dict[str, Any]] = {
    "sdxl": {"transformer_layers_per_block": (1, 2, 3)},
    "ssd1b": {
        "transformer_layers_per_block": [[1, 1], [2, 2], [1, 1]],
        "reverse_transformer_layers_per_block": [[1, 1, 2], [2, 1, 1], [1, 1, 1]],
        "mid_block_type": None,
    },
}
LAYERS = {  # side of the latent / side of the maps -> number of self-attention layers
    "sdxl": {2: 2 * 2 + 3 * 2, 4: 2 * 3 + 3 + 3 * 3},
    "ssd1b": {2: 2 + 2 + 2 + 1 + 1, 4: 1 + 1 + 1 + 1 + 2},
}


def build_tiny_sdxl(folder: Path, version: Literal["sdxl", "ssd1b"] = "sdxl", seed: int = 0) -> Path:
    """Writes VAE, U-Net, both text encoders and tokenizers to ``folder`` and returns it."""
    torch.manual_seed(seed)
    vae = tiny_vae(scaling_factor=0.13025)
    unet = UNet2DConditionModel(
        block_out_channels=(16, 16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        cross_attention_dim=sum(WIDTHS),
        attention_head_dim=(1, 2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_WIDTH,
        projection_class_embeddings_input_dim=6 * TIME_WIDTH + WIDTHS[1],
        **BLOCKS[version],
    )
    for name, layer in unet.named_modules():
        if name.endswith(("attn1.to_q", "attn1.to_k")):
            layer.weight.data *= 4  # a fresh layer attends to everything alike, which would hide mistakes
    vae.save_pretrained(folder / "vae")
    unet.save_pretrained(folder / "unet")
    encoders = (("", "<|endoftext|>", CLIPTextModel), ("_2", "!", CLIPTextModelWithProjection))
    for (suffix, pad, kind), width in zip(encoders, WIDTHS, strict=True):
        vocabulary = save_tokenizer(folder / f"tokenizer{suffix}", pad)
        kind(tiny_text_config(vocabulary, width)).save_pretrained(folder / f"text_encoder{suffix}")
    return folder
