"""Collecting works on U-Nets that people have changed: LoRA, fused projections, slicing, IP-Adapter, torch.compile.

The reference is the same changed U-Net: the softmax of its queries and keys, and its output without collecting.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from torch import Tensor

from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention, collect
from experiments.bench.tiny_sd import PROMPT_WIDTH, pictures

SIZE, TIMESTEP = 64, 300
IMAGE_TOKENS, IMAGE_WIDTH = 4, 8  # of the tiny IP-Adapter


@pytest.fixture
def model(sd: Path) -> UNetAttention:
    return StableDiffusion(str(sd), SIZE).load("cpu")


def call(model: UNetAttention, **conditions: Any) -> Callable[[], Tensor]:
    """Returns a function that runs the U-Net as users do."""
    latents = model.encode(pictures(SIZE))

    @torch.no_grad()
    def run() -> Tensor:
        return model.unet(latents, TIMESTEP, model.prompt, **conditions).sample

    return run


def self_attention(unet: UNet2DConditionModel) -> Iterator[Any]:
    for name, layer in unet.named_modules():
        if name.endswith(".attn1"):
            yield layer


def expected_maps(unet: UNet2DConditionModel, run: Callable[[], Tensor]) -> dict[int, Tensor]:
    """side -> mean attention, from the input and the projections of each layer."""
    inputs: list[tuple[Any, Tensor]] = []
    hooks = [
        layer.register_forward_pre_hook(
            lambda layer, given, options: inputs.append((layer, given[0] if given else options["hidden_states"])),
            with_kwargs=True,
        )
        for layer in self_attention(unet)
    ]
    run()
    for hook in hooks:
        hook.remove()
    by_side = defaultdict(list)
    for layer, states in inputs:
        with torch.no_grad():
            query, key = (layer.head_to_batch_dim(project(states)) for project in (layer.to_q, layer.to_k))
        by_side[math.isqrt(states.shape[1])].append((query @ key.mT * layer.scale).softmax(dim=-1).mean(dim=0))
    return {side: torch.stack(maps).mean(dim=0) for side, maps in by_side.items()}


def check(model: UNetAttention, run: Callable[[], Tensor]) -> dict[int, Tensor]:
    """Asserts that the maps are right, the output is the same and the processors are restored. Returns the maps."""
    before, processors = run(), model.unet.attn_processors
    expected = expected_maps(model.unet, run)
    with collect(model.unet) as collected:
        during = run()
    assert dict(collected.layers) == {8: 5, 4: 5, 2: 5, 1: 1}
    torch.testing.assert_close(during, before, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(run(), before, atol=0, rtol=0)
    assert model.unet.attn_processors == processors
    maps = collected.maps(collected.features, {})[0].maps
    for side, reference in expected.items():
        torch.testing.assert_close(maps[side], reference, atol=1e-6, rtol=1e-4)
    return dict(maps)


@pytest.mark.parametrize(
    ("change", "processor"),
    [
        (lambda unet: unet.fuse_qkv_projections(), "Fused"),
        (lambda unet: unet.set_attention_slice("auto"), "Sliced"),
        (lambda unet: unet.set_attention_slice(1), "Sliced"),
    ],
)
def test_other_ways_to_the_same_attention_give_the_same_maps(
    model: UNetAttention, change: Callable[[Any], None], processor: str
) -> None:
    plain = check(model, call(model))
    change(model.unet)
    assert any(processor in type(used).__name__ for used in model.unet.attn_processors.values())
    for side, maps in check(model, call(model)).items():
        torch.testing.assert_close(maps, plain[side], atol=1e-6, rtol=1e-4)


def test_an_ip_adapter_changes_the_maps(model: UNetAttention) -> None:
    """Its processors serve the cross-attention; the self-attention after it sees the image."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    plain = check(model, call(model))
    adapter = {}
    cross = [name for name in model.unet.attn_processors if name.endswith("attn2.processor")]
    for number, name in enumerate(cross):
        width = model.unet.get_submodule(name.removesuffix(".processor")).to_q.out_features
        for part in ("k", "v"):
            adapter[f"{2 * number + 1}.to_{part}_ip.weight"] = random(width, PROMPT_WIDTH)
    projection = {
        "proj.weight": random(IMAGE_TOKENS * PROMPT_WIDTH, IMAGE_WIDTH),
        "proj.bias": random(IMAGE_TOKENS * PROMPT_WIDTH),
        "norm.weight": torch.ones(PROMPT_WIDTH),
        "norm.bias": torch.zeros(PROMPT_WIDTH),
    }
    model.unet._load_ip_adapter_weights([{"image_proj": projection, "ip_adapter": adapter}], low_cpu_mem_usage=False)
    first, second = (
        check(model, call(model, added_cond_kwargs={"image_embeds": [random(1, 1, IMAGE_WIDTH)]})) for _ in "ab"
    )
    assert (first[4] - second[4]).abs().max() > 1e-4
    assert (first[4] - plain[4]).abs().max() > 1e-4


def test_lora_changes_the_maps_until_it_is_disabled(model: UNetAttention) -> None:
    plain = check(model, call(model))
    torch.manual_seed(0)
    config = LoraConfig(r=2, init_lora_weights="gaussian", target_modules=["to_q", "to_k", "to_v", "to_out.0"])
    model.unet.add_adapter(config)
    for name, weight in model.unet.named_parameters():
        if "lora_B" in name:
            weight.data.normal_()
    changed = check(model, call(model))
    assert (changed[8] - plain[8]).abs().max() > 1e-3
    model.unet.disable_adapters()
    torch.testing.assert_close(check(model, call(model))[8], plain[8], atol=1e-6, rtol=1e-4)


@pytest.mark.slow
def test_a_compiled_unet_gives_the_same_maps(model: UNetAttention) -> None:
    """Dynamo traces the U-Net and torch itself runs it, so this needs no C++ compiler."""
    plain = check(model, call(model))
    unet, latents = model.unet, model.encode(pictures(SIZE))
    before = model.predict(latents, TIMESTEP)
    torch._dynamo.reset()
    compiled = torch.compile(unet, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(latents, TIMESTEP, model.prompt).sample, before, atol=1e-5, rtol=1e-4)
        with collect(unet) as collected:
            during = compiled(latents, TIMESTEP, model.prompt).sample
        after = compiled(latents, TIMESTEP, model.prompt).sample
    torch._dynamo.reset()
    for output in (during, after):
        torch.testing.assert_close(output, before, atol=1e-5, rtol=1e-4)
    (attention,) = collected.maps(collected.features, {})
    for side, maps in plain.items():
        torch.testing.assert_close(attention.maps[side], maps, atol=1e-6, rtol=1e-4)
