"""Errors of devices that cannot be used, and batch sizes that fit the memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from diffseg.backbones.device import batch_size_for, pick_device


def absent(name: str) -> bool:
    try:
        torch.empty(1, device=name)
    except Exception:
        return True
    return False


@pytest.mark.parametrize("name", ["mps", "xpu", "vulkan", "hpu", "xla"])
def test_an_absent_device_is_one_line(name: str) -> None:
    if not absent(name):
        pytest.skip(f"this machine has {name}")
    with pytest.raises(ValueError, match=rf"^device: {name} cannot be used \(.+\); use auto or cpu$") as caught:
        pick_device(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120


def test_the_meta_device_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^device: meta cannot be used"):
        pick_device("meta")


def test_a_full_gpu_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA error: out of memory\nCUDA kernel errors might be reported later")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(
        ValueError, match=r"^device: cuda:0 cannot be used \(CUDA error: out of memory\); use auto or cpu$"
    ):
        pick_device("cuda:0")


@pytest.mark.parametrize(
    ("gigabytes", "size", "expected"),
    [(80, 512, 16), (8, 512, 7), (0.5, 512, 1), (80, 1024, 16), (16, 1024, 3), (4, 224, 16)],
)
def test_batches_fit_the_free_memory(
    monkeypatch: pytest.MonkeyPatch, gigabytes: float, size: int, expected: int
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(gigabytes * 1e9), int(141e9)))
    assert batch_size_for(torch.device("cuda:0"), size) == expected
    assert batch_size_for(torch.device("cpu"), size) == 1


def test_device_names_are_checked() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="device: cuda:99 cannot be used"):
        pick_device("cuda:99")
    with pytest.raises(ValueError, match="device: must be auto, cpu, cuda"):
        pick_device("gpu")
