"""Loads the parts of latent diffusion models from local files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import load_file
from torch import Tensor

from diffseg.backbones.device import pick_device
from diffseg.backbones.joint_attention import JointAttention, check_transformer
from diffseg.backbones.text_encoding import flux_prompt, sd3_prompt, unet_prompt
from diffseg.backbones.unet_attention import UNetAttention, check_unet
from diffseg.backbones.weights.files import read_json
from diffseg.backbones.weights.pretrained import fitted, guarded, pretrained
from diffseg.backbones.weights.single_file import ARCHITECTURES, family_of
from diffseg.precision import weights_dtype

if TYPE_CHECKING:
    from diffseg.backbones.diffusion_transformer import DiffusionTransformer
    from diffseg.backbones.latent_diffusion import LatentDiffusion
    from diffseg.backbones.stable_diffusion import StableDiffusion


def load_unet(spec: StableDiffusion, device: str) -> UNetAttention:
    """Loads the model; called by `StableDiffusion.load`."""
    target, tensors = pick_device(device), None
    if (file := spec.checkpoint) is not None:
        tensors = guarded(lambda: load_file(file), [file], file)
        vae = _from_file(spec, AutoencoderKL, "vae", tensors)
        unet = _from_file(spec, UNet2DConditionModel, "unet", tensors)
    else:
        vae, unet = _from_folder(spec, AutoencoderKL, "vae"), _from_folder(spec, UNet2DConditionModel, "unet")
    check_unet(vae, unet, spec)
    del vae.decoder  # half of the VAE's weights, never used
    prompt, pooled = unet_prompt(spec, unet.config.cross_attention_dim, tensors)
    return UNetAttention(vae, unet, prompt, pooled, spec, target)


def load_transformer(spec: DiffusionTransformer, device: str) -> JointAttention:
    """Loads the model; called by `DiffusionTransformer.load`."""
    target, flux = pick_device(device), spec.FAMILY == "flux"
    vae = _from_folder(spec, AutoencoderKL, "vae")
    transformer = _from_folder(spec, FluxTransformer2DModel if flux else SD3Transformer2DModel, "transformer")
    check_transformer(vae, transformer, spec)
    del vae.decoder
    prompt, pooled = (flux_prompt if flux else sd3_prompt)(spec, transformer.config)
    return JointAttention(vae, transformer, prompt, pooled, spec, target)


def _from_folder(spec: LatentDiffusion, kind: Any, part: str) -> Any:
    dtype = weights_dtype(spec.vae_dtype if part == "vae" else spec.dtype)
    # low_cpu_mem_usage=False: otherwise diffusers warns if the package accelerate is missing.
    return pretrained(kind, spec.models[part], dtype, low_cpu_mem_usage=False)


def _from_file(spec: StableDiffusion, kind: Any, part: str, tensors: Mapping[str, Tensor]) -> Any:
    """Builds VAE or U-Net from the ``tensors`` of ``spec.checkpoint``."""
    file = spec.checkpoint
    assert file is not None
    own = spec.configs.get(part)
    config = read_json(own) if own else ARCHITECTURES[family_of(file)][part]
    with torch.device("meta"):  # random numbers for a billion weights would take seconds
        module = guarded(lambda: kind.from_config(config), [], own or file)
    convert = convert_ldm_vae_checkpoint if part == "vae" else convert_ldm_unet_checkpoint
    converted = guarded(lambda: convert(tensors, config=module.config), [], file)
    return fitted(module, converted, file, weights_dtype(spec.vae_dtype if part == "vae" else spec.dtype))
