"""Writes a random Stable Diffusion with 0.7 million weights in the layout of the published models. Tests use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

PROMPT_LENGTH = 77
PROMPT_WIDTH = 32
HEADS = 4

# Both have the topology of the published models: 16 self-attention layers at four sides, 5 + 5 + 5 + 1.
UNET: dict[str, dict[str, Any]] = {
    "1.4": {"attention_head_dim": HEADS},  # despite its name, the number of heads
    "2.1": {"attention_head_dim": (2, 2, 4, 4), "use_linear_projection": True, "upcast_attention": True},
}
PAD_TOKEN = {"1.4": "<|endoftext|>", "2.1": "!"}


def build_tiny_sd(folder: Path, version: Literal["1.4", "2.1"] = "1.4", seed: int = 0) -> Path:
    """Writes VAE, U-Net, text encoder and tokenizer (3 MB) to ``folder`` and returns it."""
    torch.manual_seed(seed)
    vae = tiny_vae()
    unet = UNet2DConditionModel(
        block_out_channels=(16, 16, 32, 32), norm_num_groups=4, cross_attention_dim=PROMPT_WIDTH, **UNET[version]
    )
    for name, layer in unet.named_modules():
        if name.endswith(("attn1.to_q", "attn1.to_k")):
            layer.weight.data *= 4  # without it, a random layer attends to everything alike, which would hide mistakes
    vae.save_pretrained(folder / "vae")
    unet.save_pretrained(folder / "unet")
    vocabulary = save_tokenizer(folder / "tokenizer", PAD_TOKEN[version])
    CLIPTextModel(tiny_text_config(vocabulary, PROMPT_WIDTH, layers=2)).save_pretrained(folder / "text_encoder")
    return folder


def tiny_vae(**options: Any) -> AutoencoderKL:
    """A random VAE with one latent for 8 x 8 pixels."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        **options,
    )


def tiny_text_config(vocabulary: dict[str, int], width: int, layers: int = 3) -> CLIPTextConfig:
    """Configuration of a text encoder for the tokenizer of `save_tokenizer`."""
    return CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        projection_dim=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        max_position_embeddings=PROMPT_LENGTH,
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
    )


def pictures(size: int, count: int = 1) -> Tensor:
    """``(count, 3, size, size)`` random RGB in [0, 255], the same at every call."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(size)) * 255


def save_tokenizer(folder: Path, pad: str) -> dict[str, int]:
    """Writes the four files of a tokenizer with 18 tokens; returns its vocabulary.

    "a", "cat", "on" and the comma are one token each; "sofa" is two, "so" and "fa".
    """
    folder.mkdir(parents=True)
    tokens = ["!", "a</w>", "cat</w>", "<|startoftext|>", "<|endoftext|>"]
    tokens += [",</w>", "c", "ca", "t</w>", "o", "n</w>", "on</w>", "s", "so", "f", "fa</w>", "a", "n"]
    merges = ["c a", "ca t</w>", "o n</w>", "s o", "f a</w>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    special = {
        "bos_token": {"content": "<|startoftext|>", "lstrip": False, "normalized": True, "rstrip": False},
        "eos_token": {"content": "<|endoftext|>", "lstrip": False, "normalized": True, "rstrip": False},
        "pad_token": pad,
    }
    config = {"model_max_length": PROMPT_LENGTH, "pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer"}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return vocabulary
