"""Self-attention of a latent-diffusion U-Net, collected while it runs (paper, Sec. 3.1 and Eq. 1)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from diffseg.attention import AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.backbones.device import pick_device
from diffseg.backbones.stable_diffusion import UNET_FACTOR, VAE_FACTOR, StableDiffusion

# Probabilities computed at a time, over all heads: two buffers of 16 MB. Measured at S = 64 on 2 cores: 0.20 s a layer,
# 0.35 s with 2 MB (more waiting for each other), 0.5 s with memory allocated anew for each block.
BLOCK = 2**22


class SelfAttentionCollector:
    """Attention processor of diffusers for self-attention layers that also keeps the attention, heads averaged.

    The layer's output is that of diffusers' ``AttnProcessor2_0``, without the parts that the self-attention of a
    transformer block does not have (4-D input, mask, group or spatial norm, residual).

    Attributes:
        maps: one ``side -> (side*side, side*side)`` float32 mapping a picture. Inside `collect` the sum over the layers
            of a side, afterwards the mean.
        layers: side -> number of layers.
    """

    def __init__(self) -> None:
        self.maps: list[dict[int, Tensor]] = []
        self.layers: Counter[int] = Counter()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """``(B, N, C)`` to ``(B, N, C)``, as diffusers calls it; the last two arguments are None in self-attention."""
        query, key, value = (
            projection(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for projection in (attn.to_q, attn.to_k, attn.to_v)
        )
        self.add(query, key)
        heads = F.scaled_dot_product_attention(query, key, value)
        output = attn.to_out[0](heads.transpose(1, 2).flatten(2))
        return attn.to_out[1](output) / attn.rescale_output_factor

    @torch.no_grad()
    def add(self, query: Tensor, key: Tensor) -> None:
        """Adds one layer's ``softmax(query key^T / sqrt(d))``, averaged over heads; both ``(B, heads, N, d)``.

        In float32 whatever the dtype of the layer, as ``upcast_attention`` of some models demands, and in blocks of
        rows: all heads of one layer at once would take 512 MB a picture at S = 64.

        Raises:
            ValueError: ``N`` is no square number.
        """
        batch, heads, tokens, width = query.shape
        side = math.isqrt(tokens)
        if side * side != tokens:
            raise ValueError(f"attention: a square picture is needed, got a layer of {tokens} locations")
        self.layers[side] += 1
        if not self.maps:
            self.maps = [{} for _ in range(batch)]
        rows = min(tokens, max(1, BLOCK // (heads * tokens)))
        buffers = torch.empty(2, heads, rows, tokens, device=query.device)
        for maps, queries, keys in zip(self.maps, query, key, strict=True):
            if side not in maps:
                maps[side] = torch.zeros(tokens, tokens, device=query.device)
            scaled = keys.float().mT / math.sqrt(width)
            for total, part in zip(maps[side].split(rows), queries.split(rows, dim=1), strict=True):
                scores, probabilities = buffers[:, :, : len(total)]
                torch.matmul(part.float(), scaled, out=scores)
                torch.softmax(scores, dim=-1, out=probabilities)
                total += probabilities.mean(dim=0)


@contextmanager
def collect(unet: UNet2DConditionModel) -> Iterator[SelfAttentionCollector]:
    """Collects the self-attention (``attn1``) of the pass made inside the block; the pass's output stays the same.

    Several passes over the same batch are averaged.
    """
    original = unet.attn_processors
    collector = SelfAttentionCollector()
    unet.set_attn_processor(
        {name: collector if name.endswith("attn1.processor") else kept for name, kept in original.items()}
    )
    try:
        yield collector
    finally:
        unet.set_attn_processor(original)
    for maps in collector.maps:
        for side, total in maps.items():
            total /= collector.layers[side]


class UNetAttention(AttentionModel):
    """A loaded Stable Diffusion.

    Attributes:
        vae: encodes the picture, float32.
        unet: whose attention is collected.
        prompt: ``(1, T, C)``, text embedding of the empty prompt.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        unet: UNet2DConditionModel,
        prompt: Tensor,
        spec: StableDiffusion,
        device: torch.device,
    ) -> None:
        """Moves the modules to ``device``. Raises ValueError where they are not of Stable Diffusion's shape."""
        check_shape(vae, unet, spec)
        self.vae = vae.to(device)
        self.unet = unet.to(device)
        self.prompt = prompt.to(device, unet.dtype)
        self.spec = spec

    def attend_encoded(self, latents: Tensor, spec: StableDiffusion) -> list[AttentionMaps]:
        """One pass of the U-Net at the spec's time step; see `AttentionModel.attend`."""
        with collect(self.unet) as collected:
            self.predict(latents, spec.timestep)
        provenance = {name: getattr(spec, name) for name in ("size", "timestep", "dtype")}
        return [AttentionMaps(maps, collected.layers, {"model": spec.path, **provenance}) for maps in collected.maps]

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """``(B, 3, P, P)`` RGB in [0, 255] to scaled latents ``(B, 4, S, S)``: the posterior mean, no noise."""
        expected = (3, self.spec.size, self.spec.size)
        if images.ndim != len(expected) + 1 or tuple(images.shape[1:]) != expected:
            raise ValueError(f"images: must have shape {('B', *expected)}, got {tuple(images.shape)}")
        pixels = images.to(self.vae.device, torch.float32) / 127.5 - 1
        return self.vae.encode(pixels).latent_dist.mean * self.vae.config.scaling_factor

    @torch.no_grad()
    def predict(self, latents: Tensor, timestep: int) -> Tensor:
        """One pass of the U-Net with the empty prompt: latents to noise of the same shape."""
        prompts = self.prompt.expand(len(latents), -1, -1)
        return self.unet(latents.to(self.unet.dtype), timestep, prompts).sample


def check_shape(vae: AutoencoderKL, unet: UNet2DConditionModel, spec: StableDiffusion) -> None:
    """Raises ValueError where the spec's sides are not those of this model, or the model takes more than a latent."""
    vae_factor = 2 ** (len(vae.config.block_out_channels) - 1)
    unet_factor = 2 ** (len(unet.config.down_block_types) - 1)
    model = f"path: the model of {spec.path}"
    if vae_factor != VAE_FACTOR:
        raise ValueError(f"{model} encodes {vae_factor} pixels to a latent; only {VAE_FACTOR} are supported")
    if unet.config.in_channels != vae.config.latent_channels:
        raise ValueError(
            f"{model} takes {unet.config.in_channels} channels where its VAE gives {vae.config.latent_channels}: "
            "inpainting, depth and upscaling models are not supported"
        )
    if "CrossAttn" not in unet.config.down_block_types[0]:
        raise ValueError(f"{model} has no attention at the finest side; use Stable Diffusion 1.x or 2.x")
    if unet_factor != UNET_FACTOR:
        raise ValueError(f"{model} halves a latent by {unet_factor} in all; only {UNET_FACTOR} is supported")


def load(spec: StableDiffusion, device: str = "auto") -> UNetAttention:
    """What `StableDiffusion.load` does. Reads local files only."""
    target = pick_device(device)
    folder = spec.folder
    # diffusers warns where it cannot save memory while loading, which takes a package of its own.
    vae = _read(AutoencoderKL, folder / "vae", torch.float32, low_cpu_mem_usage=False)
    del vae.decoder  # half of the VAE's weights, and nothing here decodes
    unet = _read(UNet2DConditionModel, folder / "unet", getattr(torch, spec.dtype), low_cpu_mem_usage=False)
    return UNetAttention(vae, unet, empty_prompt(folder), spec, target)


@torch.no_grad()
def empty_prompt(folder: Path) -> Tensor:
    """``(1, T, C)`` float32: embedding of the empty prompt, padded to the tokenizer's length T (77)."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    encoder = _read(CLIPTextModel, folder / "text_encoder", torch.float32)
    tokens = tokenizer("", padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt")
    return encoder(tokens.input_ids).last_hidden_state


def _read(kind: Any, folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    """Module of class ``kind`` from ``folder``; a weight that the file lacks is an error, not a random number."""
    module, info = kind.from_pretrained(
        folder,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        **options,
    )
    if missing := sorted(info["missing_keys"]):
        raise ValueError(f"path: the weights in {folder} lack {len(missing)} tensors, {missing[0]} for one")
    return module.eval().requires_grad_(False)
