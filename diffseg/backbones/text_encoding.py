"""Loads the tokenizers and text encoders (CLIP) of a latent diffusion model, and embeds the empty prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers.loaders.single_file_utils import convert_ldm_clip_checkpoint, convert_open_clip_checkpoint
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from diffseg.backbones import BrokenWeights
from diffseg.backbones.weights.pretrained import configured, fitted, guarded, pretrained
from diffseg.backbones.weights.single_file import ARCHITECTURES, BEGIN, END, family_of

if TYPE_CHECKING:
    from diffseg.backbones.stable_diffusion import StableDiffusion

MAX_PROMPT_LENGTH = 1024  # tokens; CLIP's text encoders take 77

# Class of each text encoder, by its suffix. The second one also computes a pooled embedding of the prompt.
TEXT_MODELS = {"": CLIPTextModel, "_2": CLIPTextModelWithProjection}

# Prefixes of OpenCLIP's text encoders in the authors' files. Their tensors have other names than OpenAI's.
OPEN_CLIP_PREFIXES = {("sd2", ""): "cond_stage_model.model.", ("sdxl", "_2"): "conditioner.embedders.1.model."}


def text_encoder_of_file(spec: StableDiffusion, file: Path, suffix: str, tensors: Mapping[str, Tensor]) -> Any:
    """Builds CLIP's text encoder of that suffix (float32) from the tensors of a single file. Raises `WeightsError`."""
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


def load_text_encoder(spec: StableDiffusion, suffix: str) -> Any:
    """Loads CLIP's text encoder of that suffix in float32. Raises `WeightsError`."""
    if (file := spec.checkpoint) is not None:
        return text_encoder_of_file(spec, file, suffix, guarded(lambda: load_file(file), [file], file))
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


@torch.no_grad()
def empty_prompt(encoders: Sequence[tuple[Any, Tensor, Sequence[Path]]]) -> tuple[Tensor, Tensor | None]:
    """Embeds the empty prompt, padded to the tokenizers' length T (77).

    Args:
        encoders: for each encoder: the module, tokens of the empty prompt ``(1, T)``, and its files.

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


def check_prompt_width(prompt: Tensor, width: int, denoiser: Path) -> None:
    """Raises `BrokenWeights` unless the prompt ``(..., C)`` has the width that the denoiser takes.

    Args:
        prompt: embedding of the prompt.
        width: width in the denoiser's configuration.
        denoiser: file or folder of the denoiser, for the message.
    """
    if width != prompt.shape[-1]:
        raise BrokenWeights(
            denoiser,
            f"takes a prompt of width {width}, but the text encoders beside it have width {prompt.shape[-1]}",
            "take all parts from one repository",
        )
