"""Turns proposals into a label map: bilinear upsampling and arg-max, the paper's non-maximum suppression (Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isqrt
from numbers import Integral
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from diffseg.precision import float32_products

# Block size in numbers. CPU: 1 MB of float32, which fits the cache. GPU: 64 MB, so that few kernels are launched; a few
# such blocks need no more memory than other steps.
CPU_BLOCK, GPU_BLOCK = 1 << 18, 1 << 24

Size = int | tuple[int, int]
"""Size of a label map in pixels: the side of a square, or (height, width)."""

Upsample = Literal["soft", "nearest"]
"""Upsampling of cluster numbers from cells to pixels. ``soft``: the clusters' mean maps compete for each pixel, as
DiffSeg's proposals do. ``nearest``: each pixel takes the cluster of its cell."""

UpsampleSetting = Annotated[
    Upsample, Field(description="soft: mean maps compete for each pixel; nearest: each pixel takes its cell's cluster")
]


def grid_side(aggregated: Tensor) -> int:
    """Side S of a ``(S*S, S*S)`` tensor. Raises ValueError if it is not of that form, TypeError if it is no tensor."""
    if not isinstance(aggregated, Tensor):
        raise TypeError(f"aggregated: must be a torch tensor, got {type(aggregated).__name__}")
    side = isqrt(aggregated.shape[0]) if aggregated.ndim == 2 else 0
    if side < 1 or tuple(aggregated.shape) != (side * side, side * side) or not aggregated.is_floating_point():
        raise ValueError(
            "aggregated: must be a floating point tensor of shape (S*S, S*S), "
            f"got {tuple(aggregated.shape)} {aggregated.dtype}"
        )
    return side


def height_width(size: Size) -> tuple[int, int]:
    """(height, width) of a label map. Raises ValueError if they are not whole numbers of at least 1."""
    pair: tuple[Any, ...] = tuple(size) if isinstance(size, Iterable) else (size, size)
    if len(pair) != 2 or not all(isinstance(number, Integral) and int(number) >= 1 for number in pair):
        raise ValueError(f"size: must be a whole number of pixels, at least 1, or (height, width), got {size!r}")
    height, width = pair
    return height, width


def block_numbers(device: torch.device) -> int:
    """Block size of a device, in numbers."""
    return CPU_BLOCK if device.type == "cpu" else GPU_BLOCK


def row_blocks(rows: int, columns: int, device: torch.device) -> Iterator[slice]:
    """Cuts the rows of a matrix into blocks of at most `block_numbers`, but at least one row."""
    step = max(1, block_numbers(device) // columns)
    return (slice(start, start + step) for start in range(0, rows, step))


def labels_from_proposals(proposals: Tensor, size: Size) -> Tensor:
    """Gives each pixel the proposal, of ``(K, S*S)`` floating point, with the largest attention there (paper, Eq. 6).

    Returns ``(P, P)``, or (height, width), int64 in 0..K-1 on the device of the proposals. The first of equal proposals
    wins. A proposal that wins no pixel leaves its number unused.
    """
    count, side = proposals.shape[0], isqrt(proposals.shape[1])
    height, width = height_width(size)
    # Proposals are the last axis, so that arg-max reads contiguous memory: with index_select, 2 to 4 times as fast on a
    # CPU.
    grid = proposals.float().T.reshape(side, side, count)
    left, right, weight = _taps(side, width, grid.device)
    columns = torch.lerp(grid.index_select(1, left), grid.index_select(1, right), weight[:, None])
    top, bottom, weight = _taps(side, height, grid.device)
    labels = torch.empty(height, width, dtype=torch.int64, device=grid.device)
    for rows in row_blocks(height, count * width, grid.device):
        above, below = columns.index_select(0, top[rows]), columns.index_select(0, bottom[rows])
        labels[rows] = torch.lerp(above, below, weight[rows, None, None]).argmax(dim=2)
    return labels


def _taps(side: int, size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Two neighbours of each of ``size`` output positions and the weight of the second: half-pixel centres, clamped."""
    position = ((torch.arange(size, device=device, dtype=torch.float32) + 0.5) * (side / size) - 0.5).clamp_(
        0, side - 1
    )
    first = position.long()
    return first, (first + 1).clamp_(max=side - 1), position - first


def nearest_cells(cells: int, pixels: int, device: torch.device | str = "cpu") -> Tensor:
    """Number of the cell in which the centre of each pixel of a line lies, ``(pixels,)`` int64 in 0..cells-1."""
    return (2 * torch.arange(pixels, device=device) + 1) * cells // (2 * pixels)


def upsample_nearest(labels: Tensor, size: Size) -> Tensor:
    """Resizes ``(h, w)`` labels to ``size``: each pixel takes the label of the cell in which its centre lies."""
    height, width = height_width(size)
    rows = nearest_cells(labels.shape[0], height, labels.device)
    return labels[rows][:, nearest_cells(labels.shape[1], width, labels.device)]


@float32_products()
def cluster_means(aggregated: Tensor, labels: Tensor) -> Tensor:
    """Mean attention map of each cluster, ``(K, S*S)`` in the dtype and on the device of ``aggregated`` ``(S*S, S*S)``.

    The ``labels`` are ``(S*S,)`` int64 in 0..K-1, every number used; on any device.
    """
    labels = labels.cpu()  # a few thousand numbers: checking them on a GPU would make the CPU wait for it twice
    counts = labels.bincount()
    one_hot = torch.zeros(len(counts), labels.numel(), dtype=aggregated.dtype)
    one_hot[labels, torch.arange(labels.numel())] = 1
    return (one_hot.to(aggregated.device) @ aggregated) / counts.to(aggregated.device)[:, None]


def to_pixels(aggregated: Tensor, labels: Tensor, size: Size, upsample: Upsample) -> Tensor:
    """Turns cluster numbers of the S*S cells into a label map; the numbers are never interpolated.

    The ``labels`` are ``(S*S,)`` integers, on any device; they are renumbered without gaps. Returns ``(P, P)``, or
    (height, width), int64 from 0 on the device of ``aggregated``.
    """
    labels = labels.cpu().unique(return_inverse=True)[1]
    if upsample == "nearest":
        side = grid_side(aggregated)
        return upsample_nearest(labels.view(side, side).to(aggregated.device), size)
    return labels_from_proposals(cluster_means(aggregated.float(), labels), size)
