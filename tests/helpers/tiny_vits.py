"""Writes random vision transformers with a few thousand weights, one for each supported architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    PreTrainedModel,
    ViTConfig,
    ViTModel,
)

from diffseg.backbones.vit import DINOv3, PatchTransformer, ViT
from diffseg.backbones.weights.files import DTYPE_SINCE, release_of

TINY: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32}
TINY_VITS: dict[str, tuple[type[PreTrainedModel], type[Any], dict[str, int], int]] = {
    # name -> classes, further settings, number of class and register tokens
    "dino": (ViTModel, ViTConfig, {"intermediate_size": 64}, 1),
    "dinov2": (Dinov2Model, Dinov2Config, {}, 1),
    "registers": (Dinov2WithRegistersModel, Dinov2WithRegistersConfig, {"num_register_tokens": 3}, 4),
}
if release_of("transformers") >= DTYPE_SINCE:
    settings = {"intermediate_size": 64, "num_register_tokens": 4}
    TINY_VITS["dinov3"] = (transformers.DINOv3ViTModel, transformers.DINOv3ViTConfig, settings, 5)
TINY_SPEC: dict[str, Any] = {"size": 48, "patch": 8, "sides": (6, 3), "layers": (0, 2)}
"""Fields of a spec that fit all of these models."""


def build_tiny_vit(name: str, folder: Path) -> tuple[Path, int]:
    """Writes a model to ``folder``; returns ``folder`` and the number of class and register tokens."""
    kind, config, settings, special_tokens = TINY_VITS[name]
    torch.manual_seed(0)
    model = kind(config(**TINY, patch_size=TINY_SPEC["patch"], **settings))
    for parameter, weight in model.named_parameters():
        if any(
            word in parameter for word in ("q_proj", "k_proj", "query", "key", "embeddings")
        ):  # before 5: query, key
            weight.data.normal_(std=0.3)  # a fresh layer attends to everything alike, which would hide mistakes
    model.save_pretrained(folder)
    return folder, special_tokens


def tiny_spec(folder: Path, **settings: Any) -> PatchTransformer:
    """Spec of the model in ``folder`` with `TINY_SPEC` and other settings."""
    config = folder / "config.json"  # it may be damaged
    kind = DINOv3 if config.is_file() and b"dinov3_vit" in config.read_bytes() else ViT
    return kind(path=str(folder), **{**TINY_SPEC, **settings})
