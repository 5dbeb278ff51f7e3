"""Reads the parts of a Stable Diffusion and puts them together. Reads local files only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from diffseg.backbones import BrokenWeights
from diffseg.backbones.device import pick_device
from diffseg.backbones.pretrained import configured, guarded, pretrained
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention
from diffseg.backbones.weights import ModelFiles
from diffseg.precision import weights_dtype

MAX_PROMPT_LENGTH = 1024  # tokens; CLIP's text encoders take 77


def load(spec: StableDiffusion, device: str = "auto") -> UNetAttention:
    """Loads the model; called by `StableDiffusion.load`."""
    target = pick_device(device)
    # diffusers warns where it cannot save memory while loading, which takes a package of its own.
    vae = pretrained(AutoencoderKL, spec.models["vae"], weights_dtype(spec.vae_dtype), low_cpu_mem_usage=False)
    del vae.decoder  # half of the VAE's weights, and nothing here decodes
    unet = pretrained(UNet2DConditionModel, spec.models["unet"], weights_dtype(spec.dtype), low_cpu_mem_usage=False)
    prompt, pooled = empty_prompt(spec)
    model = UNetAttention(vae, unet, prompt, spec, target, pooled)
    if (width := unet.config.cross_attention_dim) != prompt.shape[-1]:
        raise BrokenWeights(
            spec.models["unet"].folder,
            f"takes a prompt of width {width}, but the text encoders beside it give {prompt.shape[-1]}",
            "take all parts from one repository",
        )
    return model


@torch.no_grad()
def empty_prompt(spec: StableDiffusion) -> tuple[Tensor, Tensor | None]:
    """Embedding of the empty prompt, padded to the tokenizers' length T (77).

    Returns:
        ``(1, T, C)`` float32: one encoder's last states, or what enters the last layers of two, side by side; and
        ``(1, C')``, the second one's embedding of the prompt as a whole, None where there is no second.
    """
    outputs = []
    for suffix in spec.TEXT_ENCODERS:
        tokenizer = load_tokenizer(spec.tokenizers[suffix])
        files = spec.models[f"text_encoder{suffix}"]
        encoder = load_text_encoder(files, projects=suffix != "")
        tokens = tokenize(tokenizer, "")
        # A tokenizer of another model has tokens, or a length, that the encoder does not know.
        encode = partial(encoder, tokens, output_hidden_states=True)
        outputs.append(guarded(encode, (*files.all, *spec.tokenizers[suffix]), files.folder))
    if len(outputs) == 1:
        return outputs[0].last_hidden_state, None
    return torch.cat([each.hidden_states[-2] for each in outputs], dim=-1), outputs[-1].text_embeds


def load_tokenizer(files: Sequence[Path]) -> CLIPTokenizer:
    """The tokenizer in the folder of ``files``, tried on the empty prompt. Raises `BrokenWeights`."""
    folder = files[0].parent
    tokenizer = guarded(lambda: CLIPTokenizer.from_pretrained(folder, local_files_only=True), files, folder)
    # transformers takes a huge number where the file gives none, and then pads nothing.
    length = tokenizer.model_max_length
    if not isinstance(length, int) or not 0 < length <= MAX_PROMPT_LENGTH:
        raise BrokenWeights(files[0], f"must have a number up to {MAX_PROMPT_LENGTH} as model_max_length, got {length}")
    guarded(partial(tokenize, tokenizer, ""), files, folder)
    return tokenizer


def tokenize(tokenizer: CLIPTokenizer, text: str) -> Tensor:
    """``(1, T)`` int64: the text's tokens, padded to the tokenizer's length T (77), more where the text is longer."""
    length = tokenizer.model_max_length
    return tokenizer(text, padding="max_length", max_length=length, return_tensors="pt").input_ids


def load_text_encoder(files: ModelFiles, projects: bool = False) -> Any:
    """CLIP's text encoder, float32; with the projection of the whole prompt if ``projects``. Raises `BrokenWeights`."""
    kind = CLIPTextModelWithProjection if projects else CLIPTextModel
    return pretrained(kind, files, torch.float32, config=configured(CLIPTextConfig, files.config))
