"""Loads the parts of a Stable Diffusion model from local files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import load_file
from torch import Tensor

from diffseg.backbones.device import pick_device
from diffseg.backbones.text_encoding import (
    check_prompt_width,
    empty_prompt,
    load_text_encoder,
    load_tokenizer,
    text_encoder_of_file,
    tokenize,
)
from diffseg.backbones.unet_attention import UNetAttention
from diffseg.backbones.weights.integrity import read_json
from diffseg.backbones.weights.pretrained import fitted, guarded, pretrained
from diffseg.backbones.weights.single_file import ARCHITECTURES, BEGIN, END, family_of
from diffseg.precision import weights_dtype

if TYPE_CHECKING:
    from diffseg.backbones.stable_diffusion import StableDiffusion


def load(spec: StableDiffusion, device: str = "auto") -> UNetAttention:
    """Loads the model; called by `StableDiffusion.load`."""
    target = pick_device(device)
    parts = _parts_of_folder(spec) if spec.checkpoint is None else _parts_of_file(spec, spec.checkpoint)
    vae, unet = parts.vae, parts.unet
    del vae.decoder  # half of the VAE's weights, never used
    prompt, pooled = empty_prompt(parts.text_encoders)
    model = UNetAttention(vae, unet, prompt, spec, target, pooled)
    denoiser = spec.files[0] if spec.checkpoint else spec.models["unet"].folder
    check_prompt_width(prompt, unet.config.cross_attention_dim, denoiser)
    return model


@dataclass(frozen=True)
class Parts:
    """The modules of a Stable Diffusion model.

    Attributes:
        vae, unet: in the dtypes of the spec.
        text_encoders: for each encoder: the module (float32), tokens of the empty prompt ``(1, T)``, and its files.
    """

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    text_encoders: Sequence[tuple[Any, Tensor, Sequence[Path]]]


def _parts_of_folder(spec: StableDiffusion) -> Parts:
    # low_cpu_mem_usage=False: otherwise diffusers warns if the package accelerate is missing.
    return Parts(
        pretrained(AutoencoderKL, spec.models["vae"], weights_dtype(spec.vae_dtype), low_cpu_mem_usage=False),
        pretrained(UNet2DConditionModel, spec.models["unet"], weights_dtype(spec.dtype), low_cpu_mem_usage=False),
        [
            (
                load_text_encoder(spec, suffix),
                tokenize(load_tokenizer(spec.tokenizers[suffix]), ""),
                (*spec.models[f"text_encoder{suffix}"].all, *spec.tokenizers[suffix]),
            )
            for suffix in spec.TEXT_ENCODERS
        ],
    )


def _parts_of_file(spec: StableDiffusion, file: Path) -> Parts:
    tensors = guarded(lambda: load_file(file), [file], file)
    published = ARCHITECTURES[family_of(file)]
    configs: dict[str, Any] = {"unet": published.unet, "vae": published.vae}
    if spec.configs is not None:
        configs = {part: read_json(spec.configs[part]) for part in configs}

    def converted(kind: Any, part: str, convert: Any, dtype: torch.dtype) -> Any:
        blamed = spec.configs[part] if spec.configs else file
        with torch.device("meta"):  # random numbers for a billion weights would take seconds
            module = guarded(lambda: kind.from_config(configs[part]), [], blamed)
        return fitted(module, guarded(lambda: convert(tensors, config=module.config), [], file), file, dtype)

    vae = converted(AutoencoderKL, "vae", convert_ldm_vae_checkpoint, weights_dtype(spec.vae_dtype))
    unet = converted(UNet2DConditionModel, "unet", convert_ldm_unet_checkpoint, weights_dtype(spec.dtype))
    encoders = []
    for suffix in spec.TEXT_ENCODERS:
        encoder = text_encoder_of_file(spec, file, suffix, tensors)
        if spec.configs is not None:
            tokens = tokenize(load_tokenizer(spec.tokenizers[suffix]), "")
        else:
            padding = [published.padding[suffix]] * (encoder.config.max_position_embeddings - 2)
            tokens = torch.tensor([[BEGIN, END, *padding]])
        encoders.append((encoder, tokens, spec.files))
    return Parts(vae, unet, encoders)
