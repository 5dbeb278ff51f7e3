"""Vision transformers as backbones: their configuration keys and their weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import CLIPVisionConfig

from diffseg import parts
from diffseg.backbones import vit
from diffseg.backbones.vit import DINOv3, ViT
from diffseg.backbones.weights.files import DTYPE_SINCE, release_of
from tests.helpers.tiny_vits import build_tiny_vit, tiny_spec


def spec_of(name: str, **changes: Any) -> Any:
    return parts.build({**parts.read("backbone", name), **changes})


def test_the_presets_differ_from_their_class_where_they_say_so() -> None:
    assert replace(spec_of("dinov2_small"), tuned={}) == ViT()
    assert ViT().sides == (32, 16, 8)
    assert replace(spec_of("dinov3_small"), tuned={}) == DINOv3()
    dino = spec_of("dino_vits8")
    assert (dino.path, dino.size, dino.sides, dino.layers) == ("facebook/dino-vits8", 224, (28,), (11,))


@pytest.mark.parametrize(("size", "sides"), [(224, (16, 8, 4)), (252, (18, 9)), (518, (37,)), (14, (1,))])
def test_sides_follow_from_the_size(size: int, sides: tuple[int, ...]) -> None:
    assert ViT(size=size).sides == sides


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
        ("debias", 1.5),
        ("positions", "timm"),
    ],
)
def test_a_wrong_value_is_refused_and_its_field_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        spec_of("dinov2_small", **{field: value})
    with pytest.raises(ValueError, match=field):
        ViT(**{field: value})


@pytest.mark.parametrize("name", ["dinov3_small", "sd14", "flux_schnell", "none"])
def test_positions_are_a_key_of_dino_and_dinov2_alone(name: str) -> None:
    with pytest.raises(ValueError, match=r"^positions: \w+ has no such key"):
        spec_of(name, positions="authors")


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    folder, _ = build_tiny_vit("dinov2", tmp_path)
    if release_of("transformers") >= DTYPE_SINCE:
        with pytest.raises(ValueError, match=r"^path: must hold a model of type dinov3_vit; .* says dinov2"):
            DINOv3(path=str(folder), patch=8, size=48).check()
    CLIPVisionConfig().save_pretrained(folder)
    with pytest.raises(ValueError, match=r"^path: must hold a model of type vit, dinov2.* says clip_vision_model"):
        ViT(path=str(folder), patch=8, size=48).check()


def test_dinov3_needs_a_release_of_transformers_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vit, "release_of", lambda package: (4, 51))
    with pytest.raises(ValueError, match=r"^path: DINOv3 needs transformers 4\.56 or later, and .* is installed"):
        DINOv3().check()


def test_check_reads_the_model_configuration(tiny_vit: tuple[Path, int]) -> None:
    tiny_spec(tiny_vit[0], layers=(2,)).check()
    with pytest.raises(ValueError, match=r"^layers: must be 0\.\.2 for .*got \[1, 3\]"):
        tiny_spec(tiny_vit[0], layers=(1, 3)).check()
    with pytest.raises(ValueError, match=r"^patch: must be 8 for .*, got 4"):
        tiny_spec(tiny_vit[0], patch=4, sides=()).check()
