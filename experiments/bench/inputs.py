"""Makes the inputs of the benchmark from seeds. Downloads nothing."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from diffseg import aggregate
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention
from diffseg.precision import weights_dtype
from experiments.bench.tiny_sd import PROMPT_LENGTH

# With these values, distances, clusters and the decay of the spectrum resemble DINOv2's attention at S = 64.
CHANNELS = 24
GRID = 8  # regions along a side of the picture
NOISE = 0.03
SHARPNESS = 6.0  # of the softmax
PROMPT_WIDTH = 768  # of Stable Diffusion v1.4
VAE_WIDTHS = (128, 256, 512, 512)


def attention_maps(side: int, seed: int = 0) -> dict[int, Tensor]:
    """Synthetic attention maps of sides S, S/2, S/4, S/8: softmax of the products of spatially smooth features."""
    generator = torch.Generator().manual_seed(seed)
    weights = 1 / torch.arange(1, CHANNELS + 1)
    coarse = weights.view(-1, 1, 1) * torch.randn(1, CHANNELS, GRID, GRID, generator=generator)
    maps = {}
    for length in (side, side // 2, side // 4, side // 8):
        smooth = F.interpolate(coarse, (length, length), mode="bicubic", align_corners=False)
        detail = NOISE * torch.randn(smooth.shape, generator=generator)
        features = F.normalize((smooth + detail).flatten(2)[0].T, dim=1)
        maps[length] = (SHARPNESS * features @ features.T).softmax(dim=1)
    return maps


def aggregated_attention(side: int, seed: int = 0) -> Tensor:
    """The aggregated tensor of `attention_maps`, ``(S*S, S*S)`` float32."""
    return aggregate(attention_maps(side, seed))


def stable_diffusion(spec: StableDiffusion, device: str) -> UNetAttention:
    """Stable Diffusion v1.4 with random weights. Its cost does not depend on the weights."""
    torch.manual_seed(0)
    with torch.device("meta"):
        blocks = ("DownEncoderBlock2D",) * len(VAE_WIDTHS)
        vae = AutoencoderKL(block_out_channels=VAE_WIDTHS, down_block_types=blocks, layers_per_block=2)
        unet = UNet2DConditionModel(cross_attention_dim=PROMPT_WIDTH)  # the other defaults are those of v1.4
    del vae.decoder  # as `diffseg.backbones.latent_loading` does
    prompt = torch.randn(1, PROMPT_LENGTH, PROMPT_WIDTH)
    modules = _filled(vae, weights_dtype(spec.vae_dtype)), _filled(unet, weights_dtype(spec.dtype))
    return UNetAttention(*modules, prompt, None, spec, torch.device(device))


def _filled(module: Any, dtype: torch.dtype) -> Any:
    """Fills a module with small random weights. The default initialisation of torch would take most of a minute."""
    module.to_empty(device="cpu").eval().requires_grad_(False)
    for name, weight in module.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.uniform_(weight, -1, 1).div_(math.sqrt(weight[0].numel()))
        else:
            weight.fill_(float(name.endswith("weight")))  # norms scale by 1, biases are 0
        if "attn1.to_q" in name or "attn1.to_k" in name:
            weight *= 4  # without it, random layers attend to everything alike
    return torch.nn.Module.to(module, dtype)  # `to` of diffusers warns about every dtype
