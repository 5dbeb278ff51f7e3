"""Precision of float32 products (strict, or TF32 if allowed), and the device that has float64."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch

from diffseg.backbones import Dtype

NAMES = ("cuda.matmul", "cudnn.conv", "cudnn.rnn", "mkldnn.matmul", "mkldnn.conv")
# Flags of torch that allow less than float32 precision in float32 products and convolutions, on a GPU or a CPU.
# Releases before 2.9 lack them, and have only the old interface.
FLAGS: tuple[Any, ...] = attrgetter(*NAMES)(torch.backends) if hasattr(torch.backends.cudnn, "conv") else ()
REDUCED = {"tf32", "bf16"}
STRICT = "highest", False
"""Values of the old interface, see `_legacy_flags`."""


def weights_dtype(dtype: Dtype) -> torch.dtype:
    """The torch dtype of the weights; ``tf32`` keeps them in float32.

    >>> weights_dtype("tf32"), weights_dtype("bfloat16")
    (torch.float32, torch.bfloat16)
    """
    return torch.float32 if dtype == "tf32" else getattr(torch, dtype)


@contextmanager
def float32_products(tf32: bool = False) -> Iterator[None]:
    """Sets how float32 convolutions and matrix products are computed inside the block, or inside a decorated function.

    torch lets cuDNN convolve in TF32 (10 bits of mantissa) by default, and a program can allow TF32 or bfloat16 for
    products, too. The flags are global to the process; they are restored when the block ends.

    Args:
        tf32: True allows TF32. False: every product is a float32 product, on every device.

    >>> with float32_products():
    ...     print(torch.backends.cudnn.allow_tf32)
    False
    """
    before = [flag.fp32_precision for flag in FLAGS]
    legacy = _legacy_flags()
    strict = not REDUCED & set(before) if FLAGS else legacy == STRICT
    if not tf32 and strict:  # inside another such block
        yield
        return
    try:
        # torch has an old and a new interface for the same flags. Setting the old ones keeps both consistent: parts
        # of torch raise an error if they contradict each other.
        _set_legacy_flags(*(("high", True) if tf32 else STRICT))
        if not tf32 and FLAGS:
            FLAGS[-1].fp32_precision = "ieee"  # the old interface has no flag for it
        yield
    finally:
        if legacy:
            _set_legacy_flags(*legacy)
        for flag, precision in zip(FLAGS, before, strict=True):
            if flag.fp32_precision != precision:
                flag.fp32_precision = precision


def _legacy_flags() -> tuple[str, bool] | None:
    """Precision of matrix products, and whether cuDNN may use TF32; None if the old interface cannot tell."""
    try:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    except RuntimeError:  # the program has used the new interface
        return None


def _set_legacy_flags(products: str, cudnn: bool) -> None:
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = cudnn


def float64_device(device: torch.device) -> torch.device:
    """The device for float64 work on tensors of ``device``: the CPU for Apple's GPUs, which have no float64."""
    return torch.device("cpu") if device.type == "mps" else device
