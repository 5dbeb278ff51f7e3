"""Loads the tokenizers and text encoders (CLIP) of a latent diffusion model, and embeds the empty prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from diffusers.loaders.single_file_utils import convert_ldm_clip_checkpoint, convert_open_clip_checkpoint
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, CLIPTokenizerFast

from diffseg.backbones import BrokenWeights
from diffseg.backbones.weights.pretrained import configured, fitted, guarded, pretrained
from diffseg.backbones.weights.single_file import (
    ARCHITECTURES,
    BEGIN,
    END,
    EXCLAMATION,
    OPEN_CLIP_PREFIXES,
    family_of,
)

if TYPE_CHECKING:
    from diffseg.backbones.diffusion_transformer import DiffusionTransformer
    from diffseg.backbones.latent_diffusion import LatentDiffusion
    from diffseg.backbones.stable_diffusion import StableDiffusion

MAX_PROMPT_LENGTH = 1024  # tokens; CLIP's text encoders take 77
T5_LENGTH = 256  # tokens of T5 in the pipeline of Stable Diffusion 3; without T5 they are zeros

# Class of each text encoder of Stable Diffusion, by its suffix. The second one also computes a pooled embedding.
TEXT_MODELS = {"": CLIPTextModel, "_2": CLIPTextModelWithProjection}


def load_text_encoder(
    spec: LatentDiffusion, suffix: str, kind: Any, tensors: Mapping[str, Tensor] | None = None
) -> Any:
    """Loads CLIP's text encoder of a suffix of ``spec.TEXT_ENCODERS`` in float32.

    ``kind`` is its class in transformers. ``tensors`` are those of ``spec.checkpoint``; None: they are read. Raises
    `WeightsError` if a file is damaged, or does not fit the others.
    """
    part = f"text_encoder{suffix}"
    if (file := spec.checkpoint) is None:
        files = spec.models[part]
        return pretrained(kind, files, torch.float32, config=configured(CLIPTextConfig, files.config))
    family = family_of(file)
    if config_file := spec.configs.get(part):
        config = configured(CLIPTextConfig, config_file)
    else:
        config = CLIPTextConfig(**ARCHITECTURES[family][part], bos_token_id=BEGIN, eos_token_id=END)
    tensors = tensors or guarded(lambda: load_file(file), [file], file)
    module = guarded(lambda: kind(config), [], file)
    if prefix := OPEN_CLIP_PREFIXES.get((family, suffix)):
        converted = guarded(lambda: convert_open_clip_checkpoint(module, tensors, prefix), [], file)
    else:
        converted = guarded(lambda: convert_ldm_clip_checkpoint(tensors), [], file)
    # Only one of transformers' two classes has this prefix in the names of its tensors.
    kept = "text_model." if hasattr(module, "text_model") else ""
    renamed = {
        name if name.startswith("text_projection") else kept + name.removeprefix("text_model."): tensor
        for name, tensor in converted.items()
    }
    return fitted(module, renamed, file, torch.float32)


def load_tokenizer(files: Sequence[Path]) -> CLIPTokenizer:
    """Loads the tokenizer in the folder of ``files`` and tries it on the empty prompt. Raises `BrokenWeights`."""
    folder = files[0].parent
    tokenizer = guarded(lambda: CLIPTokenizerFast.from_pretrained(folder, local_files_only=True), files, folder)
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
def _encoded(spec: LatentDiffusion, suffix: str, kind: Any, tensors: Mapping[str, Tensor] | None = None) -> Any:
    """Output of one text encoder, of class ``kind``, for the empty prompt."""
    encoder = load_text_encoder(spec, suffix, kind, tensors)
    if spec.tokenizers:
        tokens = tokenize(load_tokenizer(spec.tokenizers[suffix]), "")
    else:
        assert spec.checkpoint is not None
        padding = EXCLAMATION if (family_of(spec.checkpoint), suffix) in OPEN_CLIP_PREFIXES else END
        tokens = torch.tensor([[BEGIN, END, *[padding] * (encoder.config.max_position_embeddings - 2)]])
    model = spec.files if spec.checkpoint else spec.models[f"text_encoder{suffix}"].all
    # guarded, because a tokenizer of another model may have tokens or a length that the encoder does not know.
    files = (*model, *spec.tokenizers.get(suffix, ()))
    return guarded(partial(encoder, tokens, output_hidden_states=True), files, files[0])


def unet_prompt(
    spec: StableDiffusion, width: int, tensors: Mapping[str, Tensor] | None = None
) -> tuple[Tensor, Tensor | None]:
    """Embeds the empty prompt, padded to the tokenizers' length T (77); ``width`` is the U-Net's width C of prompts.

    Returns:
        ``(1, T, C)`` float32: the last states of a single encoder, or the concatenated inputs of the last layers of two
        encoders; and ``(1, C')``, the pooled embedding of the second encoder, or None.
    """
    outputs = [_encoded(spec, suffix, TEXT_MODELS[suffix], tensors) for suffix in spec.TEXT_ENCODERS]
    prompt, pooled = outputs[0].last_hidden_state, None
    if len(outputs) > 1:
        prompt = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        pooled = outputs[-1].text_embeds
    check_prompt_width(prompt, width, spec)
    return prompt, pooled


def sd3_prompt(spec: DiffusionTransformer, config: Any) -> tuple[Tensor, Tensor]:
    """The empty prompt ``(1, 77 + 256, C)`` and ``(1, C')``, embedded as diffusers' pipeline does it without T5."""
    outputs = [_encoded(spec, suffix, CLIPTextModelWithProjection) for suffix in spec.TEXT_ENCODERS]
    clip = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
    pooled = torch.cat([output.text_embeds for output in outputs], dim=-1)
    check_prompt_width(pooled, config.pooled_projection_dim, spec)
    return F.pad(clip, (0, config.joint_attention_dim - clip.shape[-1], 0, T5_LENGTH)), pooled


def flux_prompt(spec: DiffusionTransformer, config: Any) -> tuple[Tensor, Tensor]:
    """The empty prompt: ``(1, 0, C)``, no text tokens, and ``(1, C')``, CLIP's pooled embedding."""
    pooled = _encoded(spec, "", CLIPTextModel).pooler_output
    check_prompt_width(pooled, config.pooled_projection_dim, spec)
    return pooled.new_zeros(1, 0, config.joint_attention_dim), pooled


def check_prompt_width(prompt: Tensor, width: int, spec: LatentDiffusion) -> None:
    """Raises `BrokenWeights` unless the prompt ``(..., C)`` has the ``width`` of the denoiser's configuration."""
    if width != prompt.shape[-1]:
        raise BrokenWeights(
            spec.checkpoint or spec.models[spec.DENOISER].folder,
            f"takes a prompt of width {width}, but the text encoders beside it have width {prompt.shape[-1]}",
            "take all parts from one repository",
        )
