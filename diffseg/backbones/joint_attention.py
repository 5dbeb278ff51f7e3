"""Collects the attention among the picture's tokens while a diffusion transformer runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from diffseg.attention import AttentionMaps
from diffseg.backbones import AllCollected, AttentionModel, head_mean
from diffseg.backbones.latents import latents_of, placed
from diffseg.precision import float32_products

if TYPE_CHECKING:
    from diffseg.backbones.diffusion_transformer import DiffusionTransformer

Transformer: TypeAlias = SD3Transformer2DModel | FluxTransformer2DModel

GUIDANCE = 3.5  # strength of guidance, an input of FLUX.1-dev: the default of its pipeline
PATCH = 2  # latents along one side of a token


class JointCollector(TorchFunctionMode):
    """While active, collects the attention of chosen blocks among the picture's tokens.

    It reads the arguments of torch's attention function instead of replacing attention processors. So it sees the
    queries and keys after diffusers' last change to them (normalisation, rotary positions, fused projections,
    adapters).

    Attributes:
        total: ``(B, n, n)`` float32, heads averaged. Inside `collect` it is the sum over the chosen blocks that have
            run, afterwards their mean.
        keys: ``(B, n, C)``, keys of the last chosen block that has run, heads concatenated.
        layers: number of chosen blocks that have run.
    """

    def __init__(self, tokens: int, text_first: bool, stop_after: int | None = None) -> None:
        """Collects nothing until `wanted` is set.

        Args:
            tokens: n, the number of the picture's tokens.
            text_first: True if the prompt's tokens come before the picture's.
            stop_after: the pass ends after this number of chosen blocks; None: it runs to the end.
        """
        super().__init__()
        self.picture = slice(-tokens, None) if text_first else slice(tokens)
        self.tokens, self.stop_after = tokens, stop_after
        self.total: Tensor | None = None
        self.keys: Tensor | None = None
        self.layers = 0
        self.wanted = False

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention and self.wanted:
            self.wanted = False  # an adapter may attend once more within the same block
            given = {**dict(zip(("query", "key"), args, strict=False)), **(kwargs or {})}
            self.add(given["query"], given["key"])
        return func(*args, **(kwargs or {}))

    @torch.no_grad()
    def add(self, query: Tensor, key: Tensor) -> None:
        """Adds a block's ``softmax(query key^T / sqrt(d))`` over the picture's tokens, from ``(B, heads, N, d)``.

        A softmax without the prompt's tokens gives the same as a full softmax whose prompt columns are dropped and
        whose rows are normalised again.
        """
        query, key = query[:, :, self.picture].contiguous(), key[:, :, self.picture].contiguous()
        if self.total is None:
            shape = (len(query), self.tokens, self.tokens)
            self.total = torch.zeros(shape, dtype=torch.float32, device=query.device)
        head_mean.attend(query, key, None, self.total)
        self.keys = key.transpose(1, 2).flatten(2)
        self.layers += 1
        if self.layers == self.stop_after:
            raise AllCollected


def attention_layers(transformer: Transformer) -> list[nn.Module]:
    """The joint attention module of each block, in the order of execution."""
    blocks = [*transformer.transformer_blocks, *getattr(transformer, "single_transformer_blocks", ())]
    return [block.attn for block in blocks]


@contextmanager
def collect(
    transformer: Transformer, blocks: Sequence[int], tokens: int, stop: bool = False
) -> Iterator[JointCollector]:
    """Collects the attention among the picture's tokens in the pass made inside the ``with`` block.

    Args:
        transformer: the transformer that runs.
        blocks: blocks whose attention is averaged, counted from 0.
        tokens: number of the picture's tokens.
        stop: True ends the pass, and the ``with`` block, after the last of ``blocks``. False: the pass runs to the end,
            and collecting does not change its output.
    """
    text_first = isinstance(transformer, FluxTransformer2DModel)
    collector = JointCollector(tokens, text_first, len(blocks) if stop else None)

    def begin(*_: Any) -> None:
        collector.wanted = True

    layers = attention_layers(transformer)
    with ExitStack() as stack:
        for block in blocks:
            stack.callback(layers[block].register_forward_pre_hook(begin).remove)
        try:
            with collector:
                yield collector
        except AllCollected:
            pass
    if collector.total is not None:
        collector.total /= collector.layers


class JointAttention(AttentionModel):
    """A loaded diffusion transformer.

    Attributes:
        vae: encodes the picture.
        transformer: the transformer whose attention is collected.
        prompt: ``(1, T, C)``, text tokens of the empty prompt; T may be 0.
        pooled: ``(1, C')``, pooled embedding of the empty prompt.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        transformer: Transformer,
        prompt: Tensor,
        pooled: Tensor,
        spec: DiffusionTransformer,
        device: torch.device,
    ) -> None:
        """Moves the modules to ``device``."""
        self.vae = placed(vae, spec, device)
        self.transformer = transformer.to(device)
        self.prompt = prompt.to(device, transformer.dtype)
        self.pooled = pooled.to(device, transformer.dtype)
        self.spec = spec

    def encode(self, images: Tensor) -> Tensor:
        """Encodes ``(B, 3, P, P)`` RGB in [0, 255] to latents ``(B, 16, P/8, P/8)`` float32, see `latents_of`."""
        return latents_of(self.vae, images, self.spec)

    def attend_encoded(self, latents: Tensor, spec: DiffusionTransformer) -> list[AttentionMaps]:
        """Runs the transformer at the spec's time step, up to the last of its blocks; see `AttentionModel.attend`.

        The features are the keys of the last chosen block, as for vision transformers.
        """
        (side,) = spec.sides
        with collect(self.transformer, sorted(spec.blocks), side**2, stop=True) as collected:
            self.predict(latents, spec.timestep)
        assert collected.total is not None  # the pass has run
        assert collected.keys is not None
        provenance: dict[str, str | int] = {name: getattr(spec, name) for name in ("size", "timestep", "dtype")}
        provenance["blocks"] = ",".join(map(str, spec.blocks))
        return [
            AttentionMaps({side: total}, {side: len(spec.blocks)}, {"model": spec.path, **provenance}, keys.float())
            for total, keys in zip(collected.total, collected.keys, strict=True)
        ]

    @torch.no_grad()
    def predict(self, latents: Tensor, timestep: int) -> Tensor:
        """Predicts the velocity of latents ``(B, C, H, W)`` with the empty prompt, for FLUX as ``(B, n, 4 C)``."""
        batch = len(latents)
        latents = latents.to(self.transformer.dtype)
        prompt = {
            "encoder_hidden_states": self.prompt.expand(batch, -1, -1),
            "pooled_projections": self.pooled.expand(batch, -1),
        }
        time = torch.full((batch,), timestep, dtype=latents.dtype, device=latents.device)
        with float32_products(tf32=self.spec.dtype == "tf32"):
            if isinstance(self.transformer, SD3Transformer2DModel):
                return self.transformer(latents, timestep=time, **prompt).sample
            guidance = torch.full_like(time, GUIDANCE) if self.transformer.config.guidance_embeds else None
            text_ids = latents.new_zeros(self.prompt.shape[1], 3)
            return self.transformer(
                packed(latents),
                timestep=time / self.spec.LAST_TIMESTEP,  # FLUX takes sigma
                img_ids=positions(latents),
                txt_ids=text_ids,
                guidance=guidance,
                **prompt,
            ).sample


def packed(latents: Tensor) -> Tensor:
    """Turns latents ``(B, C, H, W)`` into the tokens of FLUX, ``(B, H/2 * W/2, 4 C)``, row-major."""
    return F.pixel_unshuffle(latents, PATCH).flatten(2).mT


def positions(latents: Tensor) -> Tensor:
    """Row and column of each token of FLUX: ``(H/2 * W/2, 3)``, the first column 0."""
    height, width = (length // PATCH for length in latents.shape[-2:])
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).flatten(0, 1).to(latents)
