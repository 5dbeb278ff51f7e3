"""Records the layers of a U-Net with hooks, as reference for collected attention."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from diffseg.backbones.unet_attention import UNetAttention

TIMESTEP = 300


def layers_of(unet: UNet2DConditionModel, kind: str = "attn1") -> list[Any]:
    return [layer for name, layer in unet.named_modules() if name.endswith(f".{kind}")]


@contextmanager
def recorded(unet: UNet2DConditionModel, *parts: str, kind: str = "attn1") -> Iterator[list[tuple[Any, list[Tensor]]]]:
    """Records for each layer of a kind the outputs of its named parts ("": the layer), in order of execution."""
    records: list[tuple[Any, list[Tensor]]] = [(layer, []) for layer in layers_of(unet, kind)]
    hooks = [
        layer.get_submodule(part).register_forward_hook(lambda _module, _inputs, output, to=to: to.append(output))
        for layer, to in records
        for part in parts
    ]
    yield records
    for hook in hooks:
        hook.remove()


def reference(
    model: UNetAttention, images: Tensor, prompt: Tensor | None = None, kind: str = "attn1"
) -> dict[int, Tensor]:
    """Side -> attention (B, N, N or T) from queries and keys of the bare U-Net, by diffusers' ``get_attention_scores``.

    ``kind``: ``attn1``, the self-attention, or ``attn2``, the cross-attention to T tokens.
    """
    with recorded(model.unet, "to_q", "to_k", kind=kind) as records:
        model.predict(model.encode(images), TIMESTEP, prompt)
    by_side = defaultdict(list)
    for layer, outputs in records:
        query, key = (layer.head_to_batch_dim(output) for output in outputs)
        scores = layer.get_attention_scores(query, key).unflatten(0, (len(images), layer.heads))
        by_side[math.isqrt(query.shape[1])].append(scores.mean(dim=1))
    return {side: torch.stack(maps).mean(dim=0) for side, maps in by_side.items()}
