"""Makes the inputs of the benchmark from seeds. Downloads nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from diffseg import aggregate
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention
from diffseg.backbones.weights.single_file import ARCHITECTURES
from diffseg.precision import weights_dtype
from experiments.bench.tiny_sd import PROMPT_LENGTH

# With these values, distances, clusters and the decay of the spectrum resemble DINOv2's attention at S = 64.
CHANNELS = 24
GRID = 8  # regions along a side of the picture
NOISE = 0.03
SHARPNESS = 6.0  # of the softmax


def attention_maps(side: int, seed: int = 0) -> dict[int, Tensor]:
    """Synthetic attention maps of sides S, S/2, S/4, S/8: softmax of the products of spatially smooth features."""
    generator = torch.Generator().manual_seed(seed)
    weights = 1 / torch.arange(1, CHANNELS + 1)
    coarse = weights.view(-1, 1, 1) * torch.randn(1, CHANNELS, GRID, GRID, generator=generator)
    maps = {}
    for each in (side, side // 2, side // 4, side // 8):
        smooth = F.interpolate(coarse, (each, each), mode="bicubic", align_corners=False)
        detail = NOISE * torch.randn(smooth.shape, generator=generator)
        features = F.normalize((smooth + detail).flatten(2)[0].T, dim=1)
        maps[each] = (SHARPNESS * features @ features.T).softmax(dim=1)
    return maps


def aggregated_attention(side: int, seed: int = 0) -> Tensor:
    """The aggregated tensor of `attention_maps`, ``(S*S, S*S)`` float32."""
    return aggregate(attention_maps(side, seed))


def on_random_weights(kind: Any, config: Mapping[str, Any], dtype: torch.dtype = torch.float32) -> Any:
    """Builds a module with small random weights. The default initialisation of torch would take most of a minute."""
    with torch.device("meta"):
        module = kind(**config)
    module.to_empty(device="cpu").eval().requires_grad_(False)
    for name, weight in module.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.uniform_(weight, -1, 1).div_(math.sqrt(weight[0].numel()))
        else:
            weight.fill_(float(name.endswith("weight")))  # norms scale by 1, biases are 0
        if "attn1.to_q" in name or "attn1.to_k" in name:
            weight *= 4  # without it, random layers attend to everything alike
    return torch.nn.Module.to(module, dtype)  # `to` of diffusers warns about every dtype


def stable_diffusion(spec: StableDiffusion, device: str) -> UNetAttention:
    """Stable Diffusion v1.4 with random weights. Its cost does not depend on the weights."""
    torch.manual_seed(0)
    architecture = ARCHITECTURES["sd1"]
    vae = on_random_weights(AutoencoderKL, architecture.vae, weights_dtype(spec.vae_dtype))
    del vae.decoder  # as `diffseg.backbones.unet_loading.load` does
    unet = on_random_weights(UNet2DConditionModel, architecture.unet, weights_dtype(spec.dtype))
    prompt = torch.randn(1, PROMPT_LENGTH, architecture.unet["cross_attention_dim"])
    return UNetAttention(vae, unet, prompt, spec, torch.device(device))
