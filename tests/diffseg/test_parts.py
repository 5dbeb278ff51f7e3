"""Presets: settings as Hydra composes them, parts of the user, and errors of one line."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from diffseg import parts
from diffseg.backbones.vit import ViT
from diffseg.segmenters.diffseg import DiffSeg
from tests.conftest import ROOT


@pytest.mark.parametrize("group", ["dataset", "backbone", "aggregation", "segmenter", "protocol", "tracker"])
def test_a_preset_is_what_hydra_composes(group: parts.Group, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
    assert set(parts.names(group)) == files != set()
    for variable in (None, "/data/dino"):
        if variable:
            monkeypatch.setenv("DIFFSEG_DINO_VITS8", variable)
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            for name in files:
                expected = OmegaConf.to_container(compose(f"{group}/{name}")[group], resolve=True)
                assert parts.read(group, name) == expected
    assert parts.read("backbone", "dino_vits8")["path"] == "/data/dino"


def test_every_preset_can_be_built() -> None:
    for group in ("backbone", "segmenter"):
        for name in parts.names(group):
            settings = parts.read(group, name)
            kind = parts.kind_of(settings)
            if name != "saved":  # needs a folder of files
                assert isinstance(parts.build(settings), kind)


@pytest.mark.parametrize("group", ["dataset", "backbone", "aggregation", "segmenter", "protocol", "tracker"])
def test_the_keys_of_a_part_are_the_fields_of_its_class(group: parts.Group) -> None:
    for name in parts.names(group):
        target = parts.read(group, name)["_target_"]
        assert parts.keys_of(target) == tuple(field.name for field in fields(parts.kind_of({"_target_": target})))


def test_a_segmenter_repeats_no_default_of_its_class() -> None:
    for name in parts.names("segmenter"):
        settings = parts.read("segmenter", name)
        defaults = {field.name: field.default for field in fields(parts.kind_of(settings))}
        assert not [key for key, value in settings.items() if key in defaults and defaults[key] == value], name


def test_an_inherited_mapping_is_merged_key_by_key(tmp_path: Path) -> None:
    write(tmp_path / "backbone" / "mine.yaml", "defaults: [dinov2_small]\ntuned: {diffseg: {tau: {photos: 0.5}}}\n")
    tau = parts.read("backbone", "dinov2_small")["tuned"]["diffseg"]["tau"]["default"]
    assert parts.read("backbone", "mine", tmp_path)["tuned"]["diffseg"] == {"tau": {"default": tau, "photos": 0.5}}
    write(tmp_path / "backbone" / "first.yaml", "defaults: [_self_, dino_vits8]\nsize: 28\nmine: 1\n")
    read = parts.read("backbone", "first", tmp_path)
    assert (read["size"], read["mine"]) == (224, 1)  # later entries win


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_part_outside_the_tree_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path / "my_part.py",
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Mine:\n    depth: int = 1\n",
    )
    write(tmp_path / "conf" / "segmenter" / "mine.yaml", "_target_: my_part.Mine\ndepth: 2\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    config_dir = tmp_path / "conf"  # the module lies beside it
    assert set(parts.names("segmenter", config_dir)) == {*parts.names("segmenter"), "mine"}
    assert parts.names("backbone", config_dir) == parts.names("backbone")
    assert asdict(parts.choose("segmenter", "mine", config_dir, {})) == {"depth": 2}
    assert asdict(parts.choose("segmenter", "mine", config_dir, {"depth": "3"})) == {"depth": 3}


def test_settings_replace_those_of_a_built_part() -> None:
    spec = ViT(size=224, sides=(16,))
    assert parts.choose("backbone", spec, None, {}) is spec
    changed = parts.choose("backbone", spec, None, {"layers": [3, 4]})
    assert (changed.size, changed.sides, changed.layers) == (224, (16,), (3, 4))
    assert parts.choose("segmenter", DiffSeg(anchors=8), None, {"tau": [0.1, 0.2, 0.3]}).tau == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("content", "settings", "problem"),
    [
        ("defaults: [dinov2_small]", {"szie": 1}, "szie: ViT has no such key; did you mean size?"),
        ("defaults: [dinov2_small]", {"size": "large"}, "size: input should be a valid integer"),
        ("defaults: [dinov2_small]", {"size": 449}, "size: must be a positive multiple of the patch, 14, got 449"),
        ("defaults: [dinov2_smal]", {}, "backbone: there is no 'dinov2_smal'; did you mean dinov2_small?"),
        ("defaults: [{a: b}]", {}, "mine.yaml: defaults: must list names of the group backbone"),
        ("defaults: [mine]", {}, "backbone=mine: its defaults lead back to itself"),
        ("size: 448", {}, "_target_: must name a dataclass, got None"),
        (
            "_target_: no_such_module.Mine",
            {},
            "No module named 'no_such_module'); put its folder on PYTHONPATH, or the module beside the folder",
        ),
        ("path: ${oc.env:DIFFSEG_NO_SUCH}", {}, "the environment variable DIFFSEG_NO_SUCH is not set"),
        ("path: ${backbone.size}", {}, "only ${oc.env:VARIABLE,default} can be filled in, got ${backbone.size}"),
    ],
)
def test_a_wrong_preset_or_setting_is_one_line(
    tmp_path: Path, content: str, settings: dict[str, object], problem: str
) -> None:
    write(tmp_path / "backbone" / "mine.yaml", content)
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        parts.choose("backbone", "mine", tmp_path, settings)
    assert "\n" not in str(caught.value)
