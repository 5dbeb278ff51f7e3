"""Loads the parts of a Stable Diffusion from local files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from diffseg.backbones import BrokenWeights
from diffseg.backbones.device import pick_device
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention
from diffseg.backbones.weights.integrity import read_json
from diffseg.backbones.weights.pretrained import configured, fitted, guarded, pretrained
from diffseg.backbones.weights.single_file import ARCHITECTURES, BEGIN, END, family_of
from diffseg.precision import weights_dtype

MAX_PROMPT_LENGTH = 1024  # tokens; CLIP's text encoders take 77

# Class of each text encoder, by its suffix. The second one also computes a pooled embedding of the prompt.
TEXT_MODELS = {"": CLIPTextModel, "_2": CLIPTextModelWithProjection}

# Prefixes of OpenCLIP's text encoders in the authors' files. Their tensors have other names than OpenAI's.
OPEN_CLIP_PREFIXES = {("sd2", ""): "cond_stage_model.model.", ("sdxl", "_2"): "conditioner.embedders.1.model."}


def load(spec: StableDiffusion, device: str = "auto") -> UNetAttention:
    """Loads the model; called by `StableDiffusion.load`."""
    target = pick_device(device)
    parts = _parts_of_folder(spec) if spec.checkpoint is None else _parts_of_file(spec, spec.checkpoint)
    vae, unet = parts.vae, parts.unet
    del vae.decoder  # half of the VAE's weights, never used
    prompt, pooled = empty_prompt(parts.text_encoders)
    model = UNetAttention(vae, unet, prompt, spec, target, pooled)
    if (width := unet.config.cross_attention_dim) != prompt.shape[-1]:
        raise BrokenWeights(
            spec.files[0] if spec.checkpoint else spec.models["unet"].folder,
            f"takes a prompt of width {width}, but the text encoders beside it have width {prompt.shape[-1]}",
            "take all parts from one repository",
        )
    return model


@dataclass(frozen=True)
class Parts:
    """The modules of a Stable Diffusion.

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
        encoder = _text_encoder_of_file(spec, file, suffix, tensors)
        if spec.configs is not None:
            tokens = tokenize(load_tokenizer(spec.tokenizers[suffix]), "")
        else:
            padding = [published.padding[suffix]] * (encoder.config.max_position_embeddings - 2)
            tokens = torch.tensor([[BEGIN, END, *padding]])
        encoders.append((encoder, tokens, spec.files))
    return Parts(vae, unet, encoders)


def _text_encoder_of_file(spec: StableDiffusion, file: Path, suffix: str, tensors: Mapping[str, Tensor]) -> Any:
    family = family_of(file)
    if spec.configs is not None:
        config = configured(CLIPTextConfig, spec.configs[f"text_encoder{suffix}"])
    else:
        config = CLIPTextConfig(**ARCHITECTURES[family].text_encoders[suffix], bos_token_id=BEGIN, eos_token_id=END)
    module = guarded(lambda: TEXT_MODELS[suffix](config), [], file)
    if prefix := OPEN_CLIP_PREFIXES.get((family, suffix)):
        found = guarded(lambda: convert_open_clip_checkpoint(module, tensors, prefix), [], file)
    else:
        found = guarded(lambda: convert_ldm_clip_checkpoint(tensors), [], file)
    # Only one of transformers' two classes has this prefix in the names of its tensors.
    kept = "text_model." if hasattr(module, "text_model") else ""
    renamed = {
        name if name.startswith("text_projection") else kept + name.removeprefix("text_model."): tensor
        for name, tensor in found.items()
    }
    return fitted(module, renamed, file, torch.float32)


@torch.no_grad()
def empty_prompt(encoders: Sequence[tuple[Any, Tensor, Sequence[Path]]]) -> tuple[Tensor, Tensor | None]:
    """Embeds the empty prompt, padded to the tokenizers' length T (77).

    Args:
        encoders: see `Parts`.

    Returns:
        ``(1, T, C)`` float32: the last states of a single encoder, or the concatenated inputs of the last layers of two
        encoders; and ``(1, C')``, the pooled embedding of the second encoder, or None.
    """
    # guarded, because a tokenizer of another model may have tokens or a length that the encoder does not know.
    outputs = [
        guarded(partial(encoder, tokens, output_hidden_states=True), files, files[0])
        for encoder, tokens, files in encoders
    ]
    if len(outputs) == 1:
        return outputs[0].last_hidden_state, None
    return torch.cat([each.hidden_states[-2] for each in outputs], dim=-1), outputs[-1].text_embeds


def load_text_encoder(spec: StableDiffusion, suffix: str) -> Any:
    """Loads CLIP's text encoder of that suffix in float32. Raises `WeightsError`."""
    if (file := spec.checkpoint) is not None:
        return _text_encoder_of_file(spec, file, suffix, guarded(lambda: load_file(file), [file], file))
    files = spec.models[f"text_encoder{suffix}"]
    return pretrained(TEXT_MODELS[suffix], files, torch.float32, config=configured(CLIPTextConfig, files.config))


def load_tokenizer(files: Sequence[Path]) -> CLIPTokenizer:
    """Loads the tokenizer in the folder of ``files`` and tries it on the empty prompt. Raises `BrokenWeights`."""
    folder = files[0].parent
    tokenizer = guarded(lambda: CLIPTokenizer.from_pretrained(folder, local_files_only=True), files, folder)
    # If the file gives no length, transformers takes a huge number, and then pads nothing.
    length = tokenizer.model_max_length
    if not isinstance(length, int) or not 0 < length <= MAX_PROMPT_LENGTH:
        raise BrokenWeights(files[0], f"must have a number up to {MAX_PROMPT_LENGTH} as model_max_length, got {length}")
    guarded(partial(tokenize, tokenizer, ""), files, folder)
    return tokenizer


def tokenize(tokenizer: CLIPTokenizer, text: str) -> Tensor:
    """The text's tokens ``(1, T)`` int64, padded to the tokenizer's length T (77); longer texts are not cut."""
    length = tokenizer.model_max_length
    return tokenizer(text, padding="max_length", max_length=length, return_tensors="pt").input_ids
