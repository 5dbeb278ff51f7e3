"""Chooses the device of a backbone, and the batch size on it."""

from __future__ import annotations

import torch

NO_MEMORY = ("can't allocate memory", "out of memory", "_STATUS_ALLOC_FAILED")
"""Texts in the errors that torch raises when its CPU allocator, CUDA, cuBLAS or cuDNN gets no memory."""

LARGEST_BATCH = 16
# GPU memory for each input pixel. Stable Diffusion v1.4 in float16 with batches of 16 took 8.7 GB at its peak on an
# H200, weights included: about 2,000 bytes a pixel. float32 takes twice as much.
BYTES_A_PIXEL = 4096


def pick_device(name: str) -> torch.device:
    """Device of that name; ``"auto"`` is CUDA if the machine has a GPU, else the CPU.

    Raises ValueError if torch knows no such device, this machine lacks it, or it has no memory left.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device: must be auto, cpu, cuda, cuda:N or another torch device, got {name}") from None
    try:
        torch.empty(1, device=device).fill_(0).cpu()  # one number: the only test that works for every kind of device
    except (RuntimeError, AssertionError, ImportError, AttributeError) as error:
        known = not isinstance(error, NotImplementedError)  # its message lists a hundred kinds of device
        reason = str(error).strip().split("\n")[0].rstrip(".") if known else "this build of torch does not support it"
        raise ValueError(f"device: {name} cannot be used ({reason}); use auto or cpu") from None
    return device


def batch_size_for(device: torch.device, size: int) -> int:
    """Number of pictures of ``size`` pixels in a batch if the user gives none.

    1 on every device but CUDA, where it fits the free memory: one picture alone would leave a GPU waiting.
    """
    if device.type != "cuda":
        return 1
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(LARGEST_BATCH, free // (BYTES_A_PIXEL * size**2)))
