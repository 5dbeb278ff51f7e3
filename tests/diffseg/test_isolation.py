"""The library gives the same result whatever torch settings its caller has chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

from diffseg import aggregate, anchor_grid, dbscan, kmeans, segment, symmetric_kl
from diffseg.attention import AttentionMaps
from diffseg.backbones import Backbone
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.vit import ViT
from tests.helpers.attention import blocks

MAPS = {8: blocks(8, 1.0), 4: blocks(4, 1.0, seed=1)}
AGGREGATED = blocks(8, 1.0)

CALLS: dict[str, Callable[[], Tensor]] = {
    "aggregate": partial(aggregate, MAPS),
    "aggregate, as the paper": partial(aggregate, MAPS, scheme="paper"),
    "anchor_grid": partial(anchor_grid, 8, 3),
    "symmetric_kl": lambda: symmetric_kl(AGGREGATED[:9], AGGREGATED),
    "segment": partial(segment, AGGREGATED, 0.5, 4),
    "segment, float16": partial(segment, AGGREGATED, 0.5, 4, precision="float16"),
    "segment, float64": partial(segment, AGGREGATED, 0.5, 4, precision="float64"),
    "segment, refined": partial(segment, AGGREGATED, 0.5, 4, refine="kmeans"),
    "kmeans": partial(kmeans, AGGREGATED, 4, n_init=2, size=64),
    "kmeans, nearest": partial(kmeans, AGGREGATED, 4, n_init=2, size=64, upsample="nearest"),
    "dbscan": partial(dbscan, AGGREGATED, 0.15, 3, size=64),
    "dbscan, nearest": partial(dbscan, AGGREGATED, 0.15, 3, "nearest", size=64),
}


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SETTINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "autocast to bfloat16": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast to float16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "default dtype float64": lambda: default_dtype(torch.float64),
    "default dtype float16": lambda: default_dtype(torch.float16),
    "inference mode": torch.inference_mode,
    "another default device": lambda: torch.device("meta"),
}


@pytest.fixture(params=SETTINGS)
def setting(request: pytest.FixtureRequest) -> Callable[[], AbstractContextManager[object]]:
    return SETTINGS[request.param]


@pytest.mark.parametrize("name", CALLS)
def test_functions_ignore_torch_settings_of_the_caller(
    name: str, setting: Callable[[], AbstractContextManager[object]]
) -> None:
    expected = CALLS[name]()
    with setting():
        result = CALLS[name]()
    assert result.device.type == "cpu"
    assert result.dtype == expected.dtype
    assert torch.equal(result.clone(), expected)


@pytest.fixture(scope="module")
def specs(sd: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backbone]:
    """Tiny random models: two vision transformers, one of which fits its positions to the input, and a U-Net."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    tiny = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64, "patch_size": 8}
    ViTModel(ViTConfig(**tiny, intermediate_size=64)).save_pretrained(folder / "dino")
    Dinov2Model(Dinov2Config(**tiny)).save_pretrained(folder / "dinov2")
    vit = partial(ViT, size=64, patch=8, sides=(8, 4), layers=(0, 1))
    return {
        "DINO": vit(str(folder / "dino")),
        "DINOv2": vit(str(folder / "dinov2")),
        "Stable Diffusion": StableDiffusion(str(sd), size=64),
    }


def same(given: AttentionMaps, expected: AttentionMaps) -> bool:
    assert given.features is not None
    assert expected.features is not None
    return torch.equal(given.features, expected.features) and all(
        torch.equal(given.maps[side], expected.maps[side]) for side in expected.sides
    )


@pytest.mark.parametrize("kind", ["DINO", "DINOv2", "Stable Diffusion"])
def test_backbones_ignore_torch_settings_of_the_caller(
    kind: str, setting: Callable[[], AbstractContextManager[object]], specs: dict[str, Backbone]
) -> None:
    spec = specs[kind]
    images = 255 * torch.rand(2, 3, 64, 64, dtype=torch.float32, generator=torch.Generator("cpu").manual_seed(0))
    outside = spec.load("cpu")
    expected = outside.attend(images)
    with setting():
        inside = spec.load("cpu")
        results = [
            *zip(outside.attend(images), expected, strict=True),
            *zip(inside.attend(images), expected, strict=True),
        ]
    results += zip(inside.attend(images), expected, strict=True)  # loaded under the setting, used after it
    for given, reference in results:
        assert given.maps[given.sides[0]].dtype == torch.float32
        assert same(given, reference)
