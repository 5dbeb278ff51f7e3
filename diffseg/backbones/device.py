"""Which device a backbone runs on."""

from __future__ import annotations

import torch


def pick_device(name: str) -> torch.device:
    """Device of that name; ``"auto"`` is CUDA where there is one, else the CPU.

    Raises:
        ValueError: torch knows no such device, or it is a CUDA device that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device: must be auto, cpu, cuda, cuda:N or another torch device, got {name}") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ValueError(f"device: {name} is not available ({found} CUDA devices found); use auto or cpu")
    return device
