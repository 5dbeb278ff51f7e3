"""Collects the attention among a vision transformer's patch tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from transformers import CONFIG_MAPPING, AutoModel

from diffseg.attention import AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.backbones.collecting import LayerCollector
from diffseg.backbones.debiasing import positional_basis, without_positions
from diffseg.backbones.weights.files import read_json
from diffseg.backbones.weights.pretrained import configured, pretrained
from diffseg.pictures import CHANNEL_MAX
from diffseg.precision import float32_products, weights_dtype

if TYPE_CHECKING:
    from diffseg.backbones.vit import PatchTransformer

# Mean and deviation of ImageNet's pixels, red, green and blue, in [0, 1]. DINO and DINOv2 were trained with them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

TABLE = "embeddings.position_embeddings"
"""Name of the position table in transformers' ViT and DINOv2."""

OFFSET = 0.1  # the authors add it to the side of a grid so that rounding never loses a row; their factor keeps it


class ViTAttention(AttentionModel):
    """A loaded vision transformer: ``model``, of transformers, in evaluation mode."""

    def __init__(self, spec: PatchTransformer, device: torch.device) -> None:
        """Loads the weights onto ``device``. Raises `WeightsError` if they are missing or damaged."""
        files = spec.model
        self.spec = spec
        self._bases: dict[tuple[object, ...], Tensor] = {}
        config = configured(CONFIG_MAPPING[read_json(files.config)["model_type"]], files.config)
        # The pooler may be missing, as in DINO: attention does not use it.
        self.model = pretrained(
            AutoModel, files, weights_dtype(spec.dtype), ("pooler.",), config=config, attn_implementation="sdpa"
        ).to(device)

    def attend_encoded(self, images: Tensor, spec: PatchTransformer) -> list[AttentionMaps]:
        """Runs the model on the batch once for each side; see `AttentionModel.attend`.

        The features are the keys of the last chosen layer at the finest side, as in TokenCut and MaskCut. They cost
        nothing extra, and DiffCut segments the photographs better with them than with the layer's output. DINOv3's keys
        include rotary positions. With ``spec.debias`` the positional part is projected out.
        """
        return [self.project(maps, spec) for maps in self.run_pass(images, [spec])]

    @torch.no_grad()
    def run_pass(self, images: Tensor, specs: Sequence[PatchTransformer]) -> list[AttentionMaps]:
        """Runs the model once for each side of ``specs``, finest first; see `AttentionModel.run_pass`."""
        spec, config = specs[0], self.model.config
        if images.ndim != 4 or images.shape[1:] != (3, spec.size, spec.size):
            raise ValueError(f"images: must be (B, 3, {spec.size}, {spec.size}), got {tuple(images.shape)}")
        images = images.to(self.model.device, torch.float32)
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        pixels = (images / CHANNEL_MAX - mean) / std
        provenance = {"model": spec.source, "layers": ",".join(map(str, spec.layers))}
        provenance |= {name: getattr(spec, name) for name in ("patch", "dtype", "positions") if hasattr(spec, name)}
        # transformers names the modules of a network's layers ViTLayer, Dinov2Layer, ...
        layers = [module for module in self.model.modules() if type(module).__name__.endswith("Layer")]
        special_tokens = 1 + getattr(config, "num_register_tokens", 0)
        collector = LayerCollector([layers[number] for number in spec.layers], slice(special_tokens, None))
        # DINOv2 and v3 interpolate their positions to any input size. The plain ViT needs an option for it.
        options = {"interpolate_pos_encoding": True} if config.model_type == "vit" else {}
        features = []
        for side in sorted({side for spec in specs for side in spec.sides}, reverse=True):
            size = side * spec.patch
            resized = F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False, antialias=False)
            tables = {}
            if getattr(spec, "positions", None) == "authors":  # a table of the input's size is used as it is
                table = self.model.get_parameter(TABLE)
                tables[TABLE] = authors_table(table, side, config.model_type == "dinov2_with_registers")
            with collector, float32_products(tf32=spec.dtype == "tf32"):
                functional_call(self.model, tables, (resized,), options)
            features.append(collector.keys)
        return collector.maps(features[0], provenance)

    def project(self, maps: AttentionMaps, spec: PatchTransformer) -> AttentionMaps:
        """Picks the sides of ``spec`` and debiases the features; see `AttentionModel.project`."""
        if not spec.debias and spec.sides == maps.sides:
            return maps
        features = maps.features
        if spec.debias and features is not None:
            key = *spec.pass_settings, spec.debias
            if key not in self._bases:
                black = torch.zeros(1, 3, spec.size, spec.size)
                blank = self.run_pass(black, [replace(spec, sides=spec.sides[:1])])[0].features
                assert blank is not None
                self._bases[key] = positional_basis(blank, spec.debias)
            features = without_positions(features, self._bases[key])
        return replace(
            maps,
            maps={side: maps.maps[side] for side in spec.sides},
            layers={side: maps.layers[side] for side in spec.sides},
            features=features,
        )


def authors_table(table: Tensor, side: int, registers: bool = False) -> Tensor:
    """Interpolates a position table to ``side`` patches a side, bicubically, as the authors of DINO and DINOv2 do.

    DINO (``vision_transformer.py``) and DINOv2 sample the table at steps of ``n / (side + 0.1)``, without antialiasing.
    The DINOv2 models with registers were trained with another rule: steps of ``n / side``, with antialiasing. The
    releases of transformers and timm interpolate in other ways: at 448 pixels the table of DINOv2 is 4 % off.

    The table is ``(1, 1 + n*n, C)``: the class token's row, then those of n x n patches, row-major. The result has
    ``(1, 1 + side*side, C)`` numbers of its dtype, and is the table itself if ``side`` is n.
    """
    trained = math.isqrt(table.shape[1] - 1)
    if side == trained:
        return table
    grid = table[:, 1:].float().unflatten(1, (trained, trained)).permute(0, 3, 1, 2)
    if registers:
        grid = F.interpolate(grid, size=(side, side), mode="bicubic", antialias=True)
    else:
        factor = (side + OFFSET) / trained
        grid = F.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([table[:, :1], grid.flatten(2).mT.to(table.dtype)], dim=1)
