"""The fused kernel, in Triton's interpreter on a CPU and for real on a GPU, against torch's softmax."""

from __future__ import annotations

import importlib.util
import math
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend

from diffseg.backbones import head_mean

NAME = "diffseg.backbones.head_mean_kernel"
WIDTHS = (40, 80, 160, 64)  # width of a head: Stable Diffusion 1.4 at its three sides, and XL
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A second copy of the kernel's module, which Triton interprets. The copy that others import stays compiled."""
    pytest.importorskip("triton", reason="Triton is not installed: there is no wheel for this platform")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    spec = importlib.util.find_spec(NAME)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def projections(batch: int, heads: int, tokens: int, width: int, dtype: torch.dtype, device: str = "cpu") -> Tensor:
    """Query, key and value as a layer makes them: heads side by side in memory, sharp enough for uneven maps."""
    generator = torch.Generator().manual_seed(tokens * width)
    flat = 1.5 * torch.randn(3, batch, tokens, heads * width, generator=generator)
    return flat.to(device, dtype).unflatten(-1, (heads, width)).transpose(2, 3)


def exact(query: Tensor, key: Tensor) -> Tensor:
    """Mean over the heads in float64."""
    scores = query.double() @ key.double().mT / math.sqrt(query.shape[-1])
    return scores.softmax(dim=-1).mean(dim=1)


def logarithms(query: Tensor, key: Tensor) -> Tensor:
    return (query.float() @ key.float().mT / math.sqrt(query.shape[-1])).logsumexp(dim=-1)


def tolerance(width: int) -> dict[str, float]:
    """Rounding of float32 products of ``width`` terms, and of the exponentials of scores up to about 20."""
    return {"atol": 1e-6, "rtol": 3e-6 * math.sqrt(width)}


@pytest.mark.parametrize("dtype", DTYPES[:2])  # Triton's interpreter cannot multiply bfloat16
@pytest.mark.parametrize("width", WIDTHS)
def test_the_interpreted_kernel_equals_torchs_softmax(kernel: ModuleType, width: int, dtype: torch.dtype) -> None:
    for batch, heads, tokens in ((2, 3, 49), (1, 2, 144)):  # neither is a multiple of a tile
        query, key, _ = projections(batch, heads, tokens, width, dtype)
        earlier = torch.rand(batch, tokens, tokens)
        fused, plain = earlier.clone(), earlier.clone()
        kernel.add(fused, query, key, logarithms(query, key))
        head_mean.add(plain, query, key)
        torch.testing.assert_close(fused, plain, **tolerance(width))
        expected = exact(query, key)
        assert expected.amax() > 10 / tokens  # flat maps would prove little
        torch.testing.assert_close((fused - earlier).double(), expected, atol=1e-6, rtol=1e-4)


def test_logarithms_may_be_padded(kernel: ModuleType) -> None:
    """Efficient attention pads them to a multiple of 32."""
    query, key, _ = projections(2, 2, 49, 40, torch.float32)
    lse = logarithms(query, key)
    expected, padded = torch.zeros(2, 49, 49), torch.zeros(2, 49, 49)
    kernel.add(expected, query, key, lse)
    kernel.add(padded, query, key, F.pad(lse, (0, 15), value=torch.nan))
    assert torch.equal(padded, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_torch_alone_gives_the_exact_mean(dtype: torch.dtype) -> None:
    query, key, _ = projections(2, 3, 49, 40, dtype)
    total = torch.zeros(2, 49, 49)
    head_mean.add(total, query, key)
    torch.testing.assert_close(total.double(), exact(query, key), **tolerance(40))


@pytest.mark.parametrize("wanted", [True, False])
def test_fused_attention_gives_the_output_and_the_kernel_the_mean(
    kernel: ModuleType, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    """The steps on a GPU, run on a CPU, which has torch's fused attention, too."""
    monkeypatch.setattr(head_mean, "fusable", lambda query: True)
    monkeypatch.setitem(sys.modules, NAME, kernel)
    monkeypatch.setattr("diffseg.backbones.head_mean_kernel", kernel, raising=False)
    query, key, value = projections(2, 3, 64, 40, torch.float32)
    total = torch.zeros(2, 64, 64)
    output = head_mean.attend(query, key, value if wanted else None, total)
    torch.testing.assert_close(total.double(), exact(query, key), **tolerance(40))
    assert (output is not None) is wanted
    if output is not None:
        assert torch.equal(output, F.scaled_dot_product_attention(query, key, value))


def test_flash_attention_returns_output_and_logarithms() -> None:
    query, key, value = projections(2, 3, 64, 40, torch.float32)
    assert torch._fused_sdp_choice(query, key, value) == SDPBackend.FLASH_ATTENTION.value
    output, lse = head_mean.attention_and_lse(query, key, value)
    assert torch.equal(output, F.scaled_dot_product_attention(query, key, value))
    torch.testing.assert_close(lse, logarithms(query, key))


@pytest.mark.parametrize(
    ("chosen", "own"),
    [(SDPBackend.MATH, True), (SDPBackend.CUDNN_ATTENTION, True), (SDPBackend.EFFICIENT_ATTENTION, False)],
)
def test_the_output_comes_from_the_backend_that_torch_would_choose(
    monkeypatch: pytest.MonkeyPatch, chosen: SDPBackend, own: bool
) -> None:
    query, key, value = projections(1, 2, 16, 40, torch.bfloat16)
    from_torch, from_efficient = torch.zeros_like(query), torch.ones_like(query)
    monkeypatch.setattr(torch, "_fused_sdp_choice", lambda *_: chosen.value)
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *_: from_torch)
    monkeypatch.setattr(head_mean, "_efficient", lambda *_: (from_efficient, logarithms(query, key)))
    output, lse = head_mean.attention_and_lse(query, key, value)
    assert output is (from_torch if own else from_efficient)
    assert torch.equal(lse, logarithms(query, key))


def test_tiles_fit_shared_memory(kernel: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiles for an H100 are the fastest measured that fit. A GPU with less shared memory gets smaller ones."""
    cpu = torch.device("cpu")
    h100 = {(40, 2): (128, 64), (80, 2): (128, 64), (160, 2): (64, 64), (40, 4): (128, 128), (80, 4): (64, 64)}
    for (width, size), expected in {**h100, (160, 4): (32, 32)}.items():
        padded = 2 ** math.ceil(math.log2(width))
        assert kernel.tile_size(padded * size, size, cpu) == expected
    monkeypatch.setattr(kernel, "_shared_memory", lambda device: 101_376)  # of an RTX 4090
    assert kernel.tile_size(256 * 4, 4, cpu) == (16, 16)
    assert kernel.tile_size(64 * 2, 2, cpu) == (128, 64)


@pytest.mark.parametrize(("width", "fits"), [(40, True), (160, True), (36, False), (264, False)])
def test_the_kernel_is_used_on_cuda_for_the_widths_it_supports(
    monkeypatch: pytest.MonkeyPatch, width: int, fits: bool
) -> None:
    query = projections(1, 2, 4, width, torch.float16)[0]
    assert not head_mean.fusable(query)  # on a CPU

    class OnCuda:
        is_cuda, shape, dtype, stride = True, query.shape, query.dtype, query.stride

    on_cuda: Any = OnCuda()
    monkeypatch.setattr(head_mean, "_has_triton", lambda: True)
    assert head_mean.fusable(on_cuda) is fits
    monkeypatch.setattr(head_mean, "_has_triton", lambda: False)
    assert not head_mean.fusable(on_cuda)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("tokens", "width"), [(4096, 40), (1024, 80), (256, 160), (4096, 64), (49, 40)])
def test_the_compiled_kernel_equals_torchs_softmax(tokens: int, width: int, dtype: torch.dtype) -> None:
    query, key, value = projections(2, 8, tokens, width, dtype, "cuda")
    assert head_mean.fusable(query)
    fused, plain = (torch.zeros(2, tokens, tokens, device="cuda") for _ in range(2))
    output = head_mean.attend(query, key, value, fused)
    assert output is not None
    assert torch.equal(output, F.scaled_dot_product_attention(query, key, value))
    head_mean.add(plain, query, key)
    torch.testing.assert_close(fused, plain, **tolerance(width))
