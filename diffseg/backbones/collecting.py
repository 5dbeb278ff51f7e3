"""Collects self-attention, averaged over heads and layers, while a network runs (paper, Sec. 3.1 and Eq. 1)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from diffseg.attention import AttentionMaps
from diffseg.backbones import head_mean


class AllCollected(Exception):
    """Ends a network's pass early: all attention has been collected."""


class Collector:
    """Sums the attention of layers.

    Attributes:
        totals: side -> ``(B, side*side, side*side)`` float32, heads averaged, summed over the layers.
        layers: side -> number of layers.
    """

    def __init__(self) -> None:
        self.totals: dict[int, Tensor] = {}
        self.layers: Counter[int] = Counter()

    @torch.no_grad()
    def add(self, query: Tensor, key: Tensor, value: Tensor | None = None) -> Tensor | None:
        """Adds the attention of one layer, from ``(B, heads, N, d)`` each. Returns its output, None without ``value``.

        Raises ValueError if N is not a square number.
        """
        batch, _, tokens, _ = query.shape
        side = square_side(tokens)
        self.layers[side] += 1
        if side not in self.totals:
            self.totals[side] = torch.zeros(batch, tokens, tokens, dtype=torch.float32, device=query.device)
        return head_mean.attend(query, key, value, self.totals[side])

    def maps(self, features: Tensor, provenance: Mapping[str, Any]) -> list[AttentionMaps]:
        """The mean over the layers, for each picture of the batch, with these features ``(B, n, C)``."""
        means = {side: total / self.layers[side] for side, total in self.totals.items()}
        return [
            AttentionMaps({side: mean[i] for side, mean in means.items()}, self.layers, provenance, own.float())
            for i, own in enumerate(features)
        ]


class LayerCollector(Collector, TorchFunctionMode):
    """Collects the attention of chosen layers in a ``with`` block, which ends after the last of them.

    It reads the arguments of torch's attention function instead of replacing parts of the network. So it sees the
    queries and keys after the network's last change to them (normalisation, rotary positions, fused projections,
    adapters). Several passes of different sides may run, each in a block of its own.

    Attributes:
        keys: ``(B, N, C)``, keys of the last layer that has run, heads concatenated.
    """

    def __init__(self, layers: Sequence[nn.Module], tokens: slice) -> None:
        """``layers``: modules that attend, once each. ``tokens``: the picture's, without registers and prompt.

        A softmax without the other tokens gives the same as a full softmax whose columns of these tokens are dropped
        and whose rows are normalised again.
        """
        Collector.__init__(self)
        TorchFunctionMode.__init__(self)
        self.chosen, self.tokens = layers, tokens
        self.ran, self.in_layer, self.keys = 0, False, torch.empty(0)
        self.hooks: list[Any] = []

    def __enter__(self) -> Self:
        self.ran = 0
        self.hooks = [layer.register_forward_pre_hook(self._begin) for layer in self.chosen]
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        super().__exit__(kind, error, trace)
        for hook in self.hooks:
            hook.remove()
        return kind is AllCollected

    def _begin(self, *_: Any) -> None:
        self.in_layer = True

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention and self.in_layer:
            self.in_layer = False  # an adapter may attend once more within the same layer
            given = {**dict(zip(("query", "key"), args, strict=False)), **(kwargs or {})}
            query, key = (given[name][:, :, self.tokens].contiguous() for name in ("query", "key"))
            self.add(query, key)
            self.keys = key.transpose(1, 2).flatten(2)
            self.ran += 1
            if self.ran == len(self.chosen):
                raise AllCollected
        return func(*args, **(kwargs or {}))


def square_side(locations: int) -> int:
    """Side of a layer's square of locations. Raises ValueError if their number is not a square number."""
    side = math.isqrt(locations)
    if side * side != locations:
        raise ValueError(f"attention: a square picture is needed, got a layer of {locations} locations")
    return side
