"""Collects the attention among a vision transformer's patch tokens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from transformers import CONFIG_MAPPING, AttentionInterface, AutoModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from diffseg.attention import AttentionMaps
from diffseg.backbones import AllCollected, AttentionModel
from diffseg.backbones.debiasing import positional_basis, without_positions
from diffseg.backbones.positions import authors_table
from diffseg.backbones.weights.integrity import read_json
from diffseg.backbones.weights.pretrained import configured, pretrained
from diffseg.pictures import CHANNEL_MAX
from diffseg.precision import float32_products, weights_dtype

if TYPE_CHECKING:
    from diffseg.backbones.vit import PatchTransformer

# Mean and deviation of ImageNet's pixels, red, green and blue, in [0, 1]. DINO and DINOv2 were trained with them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

COLLECTING = "diffseg_collecting_sdpa"
"""Name of `collecting_attention` among transformers' attention implementations."""

TABLE = "embeddings.position_embeddings"
"""Name of the position table in transformers' ViT and DINOv2."""


@float32_products()
def patch_attention(query: Tensor, key: Tensor, scaling: float) -> Tensor:
    """Attention among the patch tokens, averaged over the heads.

    A softmax without the class and register tokens gives the same as a full softmax whose columns of these tokens are
    dropped and whose rows are normalised again.

    Args:
        query: ``(B, heads, n, d)``, of the patch tokens only.
        key: same shape and tokens as ``query``.
        scaling: factor of the products, d**-0.5.

    Returns:
        ``(B, n, n)`` float32, rows sum to 1.
    """
    heads = query.shape[1]
    total = query.new_zeros((query.shape[0], query.shape[2], query.shape[2]), dtype=torch.float32)
    # One head at a time: all at once would take `heads` times the memory.
    scores = torch.empty_like(total)
    for head in range(heads):
        torch.matmul(scaling * query[:, head].float(), key[:, head].float().mT, out=scores)
        total += torch.softmax(scores, dim=-1, out=scores)
    return total.div_(heads)


@dataclass
class Collector:
    """Sums the patch attention of the chosen layers during one forward pass.

    Attributes:
        layers: the chosen layers, counted from 0.
        special_tokens: number of class and register tokens; they come first.
        stop: True ends the pass at the last chosen layer. False: it runs to the end, and its output does not change.
        total: ``(B, n, n)`` float32, the sum over the chosen layers that have run.
        layer: number of the layer that runs next.
        keys: ``(B, n, C)``, keys of the last chosen layer that has run, heads concatenated.
    """

    layers: tuple[int, ...]
    special_tokens: int
    stop: bool = False
    total: Tensor | float = 0.0
    layer: int = 0
    keys: Tensor | None = None

    def add(self, query: Tensor, key: Tensor, scaling: float) -> None:
        """Adds a layer's attention from ``(B, heads, tokens, d)``. Each layer calls it once, in order."""
        if self.layer in self.layers:
            query, key = query[:, :, self.special_tokens :], key[:, :, self.special_tokens :]
            self.total = self.total + patch_attention(query, key, scaling)
            self.keys = key.transpose(1, 2).flatten(2)
        self.layer += 1
        if self.stop and self.layer > max(self.layers):
            raise AllCollected

    def features(self) -> Tensor:
        """Keys of the last chosen layer, ``(B, n, C)`` float32."""
        assert self.keys is not None  # a spec has at least one layer, and `check` saw that the model has it
        return self.keys.float()

    def mean(self) -> Tensor:
        """Mean over the chosen layers, ``(B, n, n)`` float32, rows sum to 1."""
        return torch.as_tensor(self.total) / len(self.layers)


COLLECTOR: ContextVar[Collector | None] = ContextVar("collector", default=None)
"""Collector of the pass that runs. transformers' models pass unknown keywords on only in some releases."""


def collecting_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """transformers' sdpa attention; also passes queries and keys to the `COLLECTOR`."""
    if (collector := COLLECTOR.get()) is not None:
        collector.add(query, key, kwargs["scaling"])
    return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)


AttentionInterface.register(COLLECTING, collecting_attention)


class ViTAttention(AttentionModel):
    """A loaded vision transformer.

    Attributes:
        spec: settings of the backbone.
        model: transformers' model, in evaluation mode.
    """

    def __init__(self, spec: PatchTransformer, device: torch.device) -> None:
        """Loads the weights onto ``device``. Raises `WeightsError` if they are missing or damaged."""
        files = spec.model
        self.spec = spec
        self._bases: dict[tuple[object, ...], Tensor] = {}
        config = configured(CONFIG_MAPPING[read_json(files.config)["model_type"]], files.config)
        # The pooler may be missing, as in DINO: attention does not use it.
        self.model = pretrained(
            AutoModel,
            files,
            weights_dtype(spec.dtype),
            optional=("pooler.",),
            config=config,
            attn_implementation=COLLECTING,
        ).to(device)

    def attend_encoded(self, images: Tensor, spec: PatchTransformer) -> list[AttentionMaps]:
        """Runs the model on the batch once for each side; see `AttentionModel.attend`.

        The features are the keys of the last chosen layer at the finest side, as in TokenCut and MaskCut. They cost
        nothing extra, and DiffCut segments the photographs better with them than with the layer's output. DINOv3's keys
        include rotary positions. With ``spec.debias`` the positional part is projected out.
        """
        return [self.project(maps, spec) for maps in self.run_pass(images, [spec])]

    def run_pass(self, images: Tensor, specs: Sequence[PatchTransformer]) -> list[AttentionMaps]:
        """Runs the model once for each side of ``specs``, finest first; see `AttentionModel.run_pass`."""
        first = specs[0]
        if images.ndim != 4 or images.shape[1:] != (3, first.size, first.size):
            raise ValueError(f"images: must be (B, 3, {first.size}, {first.size}), got {tuple(images.shape)}")
        pixels = self._normalise(images)
        sides = sorted({side for spec in specs for side in spec.sides}, reverse=True)
        passes = {side: self._pass(pixels, side, first) for side in sides}
        batch = {side: collector.mean() for side, collector in passes.items()}
        features = passes[sides[0]].features()
        provenance: dict[str, str | int | float] = {
            "model": first.source,
            "layers": ",".join(map(str, first.layers)),
            "patch": first.patch,
            "dtype": first.dtype,
        }
        if positions := getattr(first, "positions", None):
            provenance["positions"] = positions
        layers = dict.fromkeys(sides, len(first.layers))
        return [
            AttentionMaps({side: maps[i] for side, maps in batch.items()}, layers, provenance, features[i])
            for i in range(len(images))
        ]

    def project(self, maps: AttentionMaps, spec: PatchTransformer) -> AttentionMaps:
        """Picks the sides of ``spec`` and debiases the features; see `AttentionModel.project`."""
        if not spec.debias and spec.sides == maps.sides:
            return maps
        features = maps.features
        if spec.debias and features is not None:
            features = without_positions(features, self.positional_basis(spec))
        return replace(
            maps,
            maps={side: maps.maps[side] for side in spec.sides},
            layers={side: maps.layers[side] for side in spec.sides},
            features=features,
        )

    def positional_basis(self, spec: PatchTransformer) -> Tensor:
        """`diffseg.backbones.debiasing.positional_basis` of a black picture, computed once for each setting."""
        key = *spec.pass_settings, spec.debias
        if key not in self._bases:
            self._bases[key] = positional_basis(self.blank_features(spec), spec.debias)
        return self._bases[key]

    def blank_features(self, spec: PatchTransformer) -> Tensor:
        """Features of a black picture, ``(n, C)`` float32, n the number of patches at the finest side."""
        pixels = self._normalise(torch.zeros(1, 3, spec.size, spec.size))
        return self._pass(pixels, spec.sides[0], spec).features()[0]

    def _normalise(self, images: Tensor) -> Tensor:
        images = images.to(self.model.device, torch.float32)
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        return (images / CHANNEL_MAX - mean) / std

    @torch.no_grad()
    def _pass(self, pixels: Tensor, side: int, spec: PatchTransformer) -> Collector:
        """Attention of one input size, of side x side patches."""
        config, size = self.model.config, side * spec.patch
        resized = F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False, antialias=False)
        registers = getattr(config, "num_register_tokens", 0)
        # DINOv2 and v3 interpolate their positions to any input size. The plain ViT needs an option for it.
        options = {"interpolate_pos_encoding": True} if config.model_type == "vit" else {}
        tables = {}
        if getattr(spec, "positions", None) == "authors":  # a table of the input's size is used as it is
            table = self.model.get_parameter(TABLE)
            tables[TABLE] = authors_table(table, side, config.model_type == "dinov2_with_registers")
        collector = Collector(spec.layers, 1 + registers, stop=True)
        token = COLLECTOR.set(collector)
        try:
            with float32_products(tf32=spec.dtype == "tf32"), suppress(AllCollected):
                functional_call(self.model, tables, (resized,), options)
        finally:
            COLLECTOR.reset(token)
        return collector
