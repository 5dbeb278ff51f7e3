"""Converts a Stable Diffusion folder to a single file in the authors' layout: the inverse of diffusers' conversion."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def write_ldm_file(folder: Path, file: Path, family: str) -> Path:
    """Writes the models of ``folder`` to ``file``; ``family`` is "sd1", "sd2" or "sdxl"."""
    read = {path.parent.name: load_file(path) for path in sorted(folder.rglob("*.safetensors"))}
    config = json.loads((folder / "unet/config.json").read_text())
    tensors = {f"model.diffusion_model.{unet_name(name, config)}": value for name, value in read["unet"].items()}
    tensors |= {f"first_stage_model.{name}": value for name, value in map(vae_item, read["vae"].items())}
    if family == "sd1":
        tensors |= clip(read["text_encoder"], "cond_stage_model.transformer.text_model.")
    elif family == "sd2":
        tensors |= open_clip(read["text_encoder"], "cond_stage_model.model.")
    else:
        tensors |= clip(read["text_encoder"], "conditioner.embedders.0.transformer.text_model.")
        tensors |= open_clip(read["text_encoder_2"], "conditioner.embedders.1.model.")
    tensors["alphas_cumprod"] = torch.linspace(1, 0, 1000)  # real files hold such tables, too
    save_file({name: value.contiguous() for name, value in tensors.items()}, file)
    return file


def unet_name(name: str, config: dict[str, Any]) -> str:
    per_block = config["layers_per_block"]
    for ours, theirs in (
        ("time_embedding.linear_1", "time_embed.0"),
        ("time_embedding.linear_2", "time_embed.2"),
        ("add_embedding.linear_1", "label_emb.0.0"),
        ("add_embedding.linear_2", "label_emb.0.2"),
        ("conv_in", "input_blocks.0.0"),
        ("conv_norm_out", "out.0"),
        ("conv_out", "out.2"),
    ):
        if name.startswith(ours + "."):
            return name.replace(ours, theirs)
    kind, *rest = name.split(".")
    if kind == "mid_block":
        number, inner = (int(rest[1]) * 2 if rest[0] == "resnets" else 1), ".".join(rest[2:])
        return f"middle_block.{number}.{resnet(inner) if number != 1 else inner}"
    level, module, index, inner = int(rest[0]), rest[1], int(rest[2]), ".".join(rest[3:])
    if kind == "down_blocks":
        if module == "downsamplers":
            return f"input_blocks.{(level + 1) * (per_block + 1)}.0.{inner.replace('conv', 'op', 1)}"
        block, prefix = 1 + level * (per_block + 1) + index, "input_blocks"
    else:
        block, prefix = level * (per_block + 1) + index, "output_blocks"
        if module == "upsamplers":
            block = level * (per_block + 1) + per_block
            place = 2 if "CrossAttn" in config["up_block_types"][level] else 1
            return f"{prefix}.{block}.{place}.{inner}"
    return f"{prefix}.{block}.{0 if module == 'resnets' else 1}.{resnet(inner) if module == 'resnets' else inner}"


def resnet(inner: str) -> str:
    part, _, leaf = inner.rpartition(".")
    return f"{RESNET[part]}.{leaf}"


def vae_item(item: tuple[str, Tensor]) -> tuple[str, Tensor]:
    name, value = item
    levels = 4
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{levels - 1 - int(m[1])}.block.{m[2]}", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    if "mid_block.attentions.0" in name:
        name = name.replace("mid_block.attentions.0", "mid.attn_1")
        for ours, theirs in {
            "group_norm": "norm",
            "to_q": "q",
            "to_k": "k",
            "to_v": "v",
            "to_out.0": "proj_out",
        }.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
        if value.ndim == 2:
            value = value[:, :, None, None]  # a linear layer in diffusers, a convolution of one pixel in the file
    return name, value


def clip(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name.removeprefix("text_model."): value for name, value in tensors.items()}


def open_clip(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    tensors = {name.removeprefix("text_model."): value for name, value in tensors.items()}
    weights = {
        "positional_embedding": tensors.pop("embeddings.position_embedding.weight"),
        "token_embedding.weight": tensors.pop("embeddings.token_embedding.weight"),
        "ln_final.weight": tensors.pop("final_layer_norm.weight"),
        "ln_final.bias": tensors.pop("final_layer_norm.bias"),
    }
    width = weights["positional_embedding"].shape[1]
    projection = tensors.pop(
        "text_projection.weight", torch.eye(width)
    )  # Stable Diffusion 2 has it and does not use it
    weights["text_projection"] = projection.T
    for name in [name for name in tensors if ".q_proj." in name]:
        parts = [tensors.pop(name.replace("q_proj", f"{each}_proj")) for each in "qkv"]
        block, _, leaf = name.replace("encoder.layers", "transformer.resblocks").partition(".self_attn.q_proj.")
        weights[f"{block}.attn.in_proj_{leaf}"] = torch.cat(parts)
    for name, value in tensors.items():
        renamed = name.replace("encoder.layers", "transformer.resblocks")
        for ours, theirs in OPEN_CLIP.items():
            renamed = renamed.replace(ours, theirs)
        weights[renamed] = value
    return {prefix + name: value for name, value in weights.items()}
