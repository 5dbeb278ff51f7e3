"""Cross-attention of a latent-diffusion U-Net to the tokens of a prompt (paper, Section 5; authors' code)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor

from diffseg.backbones import BrokenWeights
from diffseg.backbones.collecting import square_side
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.text_encoding import TEXT_MODELS, load_text_encoder, load_tokenizer, tokenize
from diffseg.backbones.unet_attention import replaced_processors


class CrossAttentionCollector:
    """Attention processor of diffusers for cross-attention layers that also keeps the attention, heads averaged.

    Attributes:
        maps: for each picture, side -> ``(side*side, T)`` float32. Each row holds the attention of one location to the
            T tokens, and sums to 1. Inside `collect` a map is the sum over the layers of its side, afterwards their
            mean. (The authors' code weights the finest side's three decoder layers by 1/3 and all others by 1/5. This
            slip is not copied.)
        layers: side -> number of layers.
    """

    def __init__(self) -> None:
        self.maps: list[dict[int, Tensor]] = []
        self.layers: Counter[int] = Counter()
        self._output = AttnProcessor2_0()

    @torch.no_grad()
    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """``(B, N, C)`` and ``(B, T, C')`` to ``(B, N, C)``, as diffusers calls it."""
        # The projection is computed twice. This costs 1 % of a pass and leaves diffusers' output unchanged.
        query = attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2).float()
        key = attn.to_k(encoder_hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2).float()
        attention = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(dim=-1).mean(dim=1)
        side = square_side(attention.shape[1])
        self.layers[side] += 1
        self.maps = self.maps or [{} for _ in attention]
        for maps, added in zip(self.maps, attention, strict=True):
            maps[side] = maps[side] + added if side in maps else added
        return self._output(attn, hidden_states, encoder_hidden_states, attention_mask)


@contextmanager
def collect(unet: UNet2DConditionModel) -> Iterator[CrossAttentionCollector]:
    """Collects the cross-attention (``attn2``) of the pass inside the ``with`` block. The output stays the same."""
    collector = CrossAttentionCollector()
    with replaced_processors(unet, lambda name: name.endswith("attn2.processor"), collector):
        yield collector
    for maps in collector.maps:
        for side, total in maps.items():
            total /= collector.layers[side]


class PromptEncoder:
    """Tokenizer and text encoder (float32) of a Stable Diffusion model in the diffusers layout."""

    def __init__(self, spec: StableDiffusion, device: torch.device) -> None:
        """Loads both. Raises `WeightsError` if a file is missing or broken."""
        (suffix,) = spec.TEXT_ENCODERS
        if spec.checkpoint is not None and not spec.tokenizers:
            raise BrokenWeights(
                spec.checkpoint,
                "holds no tokenizer, which words need",
                "put unet/, vae/, text_encoder/ and tokenizer/ with their configurations beside it, or give a folder",
            )
        self.tokenizer = load_tokenizer(spec.tokenizers[suffix])
        self.encoder = load_text_encoder(spec, suffix, TEXT_MODELS[suffix]).to(device)

    def encode(self, text: str) -> Tensor:
        """Embeds the text, padded to T (77) tokens: ``(1, T, C)`` float32. Raises ValueError if it has more."""
        length = self.tokenizer.model_max_length
        tokens = tokenize(self.tokenizer, text)
        if tokens.shape[1] > length:
            raise ValueError(
                f"words: the prompt may have {length} tokens, its two ends included, got {tokens.shape[1]}"
            )
        return self.encoder(tokens.to(self.encoder.device)).last_hidden_state

    def positions(self, text: str, spans: Iterable[tuple[int, int]]) -> list[int]:
        """Numbers (0..T-1) of the tokens in the parts (start, end) of the text. A word often has several tokens.

        Raises ValueError if these parts have no token.
        """
        offsets = self.tokenizer(text, return_offsets_mapping=True).offset_mapping
        parts = list(spans)
        numbers = [
            number
            for number, (start, end) in enumerate(offsets)
            if any(start < last and end > first for first, last in parts)
        ]
        if not numbers:
            raise ValueError(f"words: the text encoder has no token for {[text[first:last] for first, last in parts]}")
        return numbers
