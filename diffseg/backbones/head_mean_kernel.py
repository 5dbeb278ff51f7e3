"""A Triton kernel for the mean over the heads of softmax attention. Needs the package ``triton``; see `head_mean`."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

# Bytes of an element -> tile of (queries, keys). Measured on an H200: the fastest for every width that fits.
TILES = {2: (128, 64), 4: (128, 128)}
SMALLEST_TILE = 16  # smallest number of rows or columns in a matrix product of Triton
PIPELINE = 3  # tiles that Triton keeps in shared memory at a time (its default number of stages)
WARPS, LARGE_TILE, LARGE_TILE_WARPS = 4, 128 * 128, 8
SHARED_MEMORY_H100 = 232_448  # bytes
TENSOR_CORES_OF_TF32 = 8  # first major version of CUDA's compute capability with TF32


@triton.jit
def _add_tile(  # type: ignore[no-untyped-def]
    query, key, lse, total, scale, weight, heads, tokens,
    query_batch, query_head, query_row, key_batch, key_head, key_row, lse_batch, lse_head, lse_row,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PRODUCTS: tl.constexpr,
):  # fmt: skip
    """Adds one tile of ``weight * sum over heads of exp(scale * query key^T - lse)`` to ``total``."""
    # 64-bit: a batch of large maps has more entries than 32 bits can count.
    picture = tl.program_id(2).to(tl.int64)
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    column = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)).to(tl.int64)
    channel = tl.arange(0, PADDED)
    is_row, is_column, is_channel = row < tokens, column < tokens, channel < WIDTH
    queries = query + picture * query_batch + row[:, None] * query_row + channel[None, :]
    keys = key + picture * key_batch + column[None, :] * key_row + channel[:, None]
    lses = lse + picture * lse_batch + row * lse_row
    tile = tl.full((ROWS, COLUMNS), 0.0, tl.float32)
    for head in range(heads):
        q = tl.load(queries + head * query_head, mask=is_row[:, None] & is_channel[None, :], other=0.0)
        k = tl.load(keys + head * key_head, mask=is_channel[:, None] & is_column[None, :], other=0.0)
        scores = tl.dot(q, k, input_precision=PRODUCTS)
        tile += tl.exp(scores * scale - tl.load(lses + head * lse_head, mask=is_row, other=0.0)[:, None])
    place = total + (picture * tokens + row[:, None]) * tokens + column[None, :]
    inside = is_row[:, None] & is_column[None, :]
    tl.store(place, tl.load(place, mask=inside, other=0.0) + weight * tile, mask=inside)


def add(total: Tensor, query: Tensor, key: Tensor, lse: Tensor) -> None:
    """Adds the mean over the heads of ``exp(query key^T / sqrt(d) - lse)`` to ``total``.

    Args:
        total: ``(B, N, N)`` float32, contiguous, added to in place.
        query, key: ``(B, heads, N, d)`` float32, float16 or bfloat16, the last axis contiguous.
        lse: ``(B, heads, >= N)`` float32, logarithm of the sum of ``exp(query key^T / sqrt(d))`` over the keys.
    """
    batch, heads, tokens, width = query.shape
    padded = max(SMALLEST_TILE, triton.next_power_of_2(width))
    rows, columns = tile_size(padded * query.element_size(), query.element_size(), query.device)
    grid = (triton.cdiv(tokens, rows), triton.cdiv(tokens, columns), batch)
    # Triton launches on the current device, which need not be that of the tensors.
    with torch.cuda.device_of(query):
        _add_tile[grid](
            query, key, lse, total, 1 / math.sqrt(width), 1 / heads, heads, tokens,
            *query.stride()[:3], *key.stride()[:3], *lse.stride(),
            width, padded, rows, columns, products(query),
            num_warps=WARPS if rows * columns < LARGE_TILE else LARGE_TILE_WARPS,
        )  # fmt: skip


def tile_size(row_bytes: int, element_bytes: int, device: torch.device) -> tuple[int, int]:
    """Rows and columns of a tile whose queries and keys fit the device's shared memory.

    >>> tile_size(256 * 4, 4, torch.device("cpu"))  # d = 160 in float32
    (32, 32)
    """
    rows, columns = TILES[element_bytes]
    while (rows + columns) * row_bytes * PIPELINE > _shared_memory(device) and rows > SMALLEST_TILE:
        rows, columns = (rows // 2, columns) if rows > columns else (rows, columns // 2)
    return rows, columns


def _shared_memory(device: torch.device) -> int:
    """Shared memory of one program, in bytes; on a CPU (Triton's interpreter) that of an H100."""
    if device.type != "cuda":
        return SHARED_MEMORY_H100
    return triton.runtime.driver.active.utils.get_device_properties(device.index)["max_shared_mem"]


def products(query: Tensor) -> str:
    """Triton's precision of float32 products: three TF32 products, as exact as a float32 product and faster.

    GPUs without TF32 use float32 products. Products of half precision are exact in any case.
    """
    old = query.is_cuda and torch.cuda.get_device_capability(query.device)[0] < TENSOR_CORES_OF_TF32
    return "ieee" if old or torch.version.hip or query.dtype != torch.float32 else "tf32x3"
