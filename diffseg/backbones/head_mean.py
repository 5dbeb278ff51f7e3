"""Self-attention that also sums its probabilities, averaged over the heads (paper, Eq. 1).

On CUDA one Triton kernel adds ``exp(query key^T / sqrt(d) - lse)`` of all heads to a map. The logarithms of the
softmax's sums, ``lse``, come from torch's fused attention, which computes them anyway. Elsewhere torch computes the
softmax of one head and a block of rows at a time.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend

from diffseg.precision import float32_products

# Probabilities of one head that torch computes at a time. CPU: 8 MB, which fits the cache. At S = 64 a layer takes 0.13
# s on 2 cores and 0.22 s on one, a sixth less than with all heads of a block at once. GPU: more, to keep it busy.
BLOCK = 2**21
BLOCK_CUDA = 2**25

FLASH_MULTIPLE, WIDEST = 8, 256  # flash attention takes head dimensions that are multiples of 8, up to 256, unpadded


def attend(query: Tensor, key: Tensor, value: Tensor | None, total: Tensor) -> Tensor | None:
    """Scaled dot-product attention; adds its probabilities, averaged over the heads, to ``total``.

    Query, key and value are ``(B, heads, N, d)``. The output is that of
    `torch.nn.functional.scaled_dot_product_attention`, bit for bit; None without ``value``. ``total``, ``(B, N, N)``
    float32, contiguous, is added to in place.
    """
    if not fusable(query):
        add(total, query, key)
        return None if value is None else F.scaled_dot_product_attention(query, key, value)
    from diffseg.backbones import head_mean_kernel  # imports triton

    output, lse = attention_and_lse(query, key, key if value is None else value)
    head_mean_kernel.add(total, query, key, lse)
    return None if value is None else output


@torch.no_grad()
@float32_products()
def add(total: Tensor, query: Tensor, key: Tensor) -> None:
    """Adds ``softmax(query key^T / sqrt(d))``, averaged over the heads, to ``total``, see `attend`. Uses only torch.

    It computes in float32, whatever the layer's dtype: models with ``upcast_attention`` demand that. It works head by
    head, in blocks of rows: all heads of a layer at once would take 512 MB a picture at S = 64.
    """
    batch, heads, tokens, width = query.shape
    rows = min(tokens, max(1, (BLOCK_CUDA if query.is_cuda else BLOCK) // (batch * tokens)))
    buffer = torch.empty(batch, rows, tokens, dtype=torch.float32, device=query.device)
    for block, part in zip(total.split(rows, dim=1), query.split(rows, dim=2), strict=True):
        scores, summed = buffer[:, : block.shape[1]], torch.zeros_like(block)
        for head in range(heads):
            torch.matmul(width**-0.5 * part[:, head].float(), key[:, head].float().mT, out=scores)
            summed += torch.softmax(scores, dim=-1, out=scores)
        block += summed.div_(heads)


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def fusable(query: Tensor) -> bool:
    """True if the Triton kernel can handle the queries ``(B, heads, N, d)``."""
    width = query.shape[-1]
    return (
        query.is_cuda
        and _has_triton()
        and query.dtype in (torch.float32, torch.float16, torch.bfloat16)
        and width % FLASH_MULTIPLE == 0
        and width <= WIDEST
        and query.stride(-1) == 1
    )


def attention_and_lse(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention ``(B, heads, N, d)``; logarithms of its softmax's sums, ``(B, heads, >= N)``.

    It calls the kernel that `torch.nn.functional.scaled_dot_product_attention` would choose, so the output is the same.
    If that is neither flash nor efficient attention, the logarithms need a second call. Efficient attention pads them.
    """
    chosen = torch._fused_sdp_choice(query, key, value)
    if chosen == SDPBackend.FLASH_ATTENTION.value:
        return _flash(query, key, value)
    output, lse = _efficient(query, key, value)
    if chosen != SDPBackend.EFFICIENT_ATTENTION.value:
        output = F.scaled_dot_product_attention(query, key, value)
    return output, lse


def _flash(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    if query.is_cuda:
        return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)[:2]
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)


def _efficient(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    attention = torch.ops.aten._scaled_dot_product_efficient_attention
    return attention(query, key, value, None, compute_log_sumexp=True)[:2]
