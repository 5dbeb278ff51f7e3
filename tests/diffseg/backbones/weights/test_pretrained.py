"""Loading a damaged model ends with one line that names the file, whatever diffusers and transformers raise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers.utils import logging as transformers_logging

from diffseg.backbones import BrokenWeights, MissingWeights, WeightsError
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.weights.pretrained import guarded
from diffseg.labelling.captioning import Captioner
from experiments.bench.tiny_sd import pictures
from tests.helpers import damage
from tests.helpers.tiny_blip import build_tiny_blip
from tests.helpers.tiny_vits import TINY_SPEC, TINY_VITS, build_tiny_vit, tiny_spec

SIZE = 64
PARTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}


def load_sd(folder: Path) -> Any:
    return StableDiffusion(str(folder), SIZE).load("cpu")


def load_vit(folder: Path) -> Any:
    return tiny_spec(folder).load("cpu")


def load_blip(folder: Path) -> Any:
    return Captioner(str(folder), torch.device("cpu"))


def refused(load: Callable[[Path], Any], folder: Path, file: Path, words: str, capfd: Any, key: str = "path") -> None:
    """Asserts that loading fails with one line that names the file and says what to do, and prints nothing else."""
    capfd.readouterr()
    with pytest.raises(WeightsError, match=words) as caught:
        load(folder)
    message = str(caught.value)
    assert message.startswith(f"{key}: {file}"), message
    assert "\n" not in message
    assert len(message) < 600
    assert re.search(r"again|git lfs pull|\.safetensors file|permissions", message), message
    printed = capfd.readouterr()
    assert "LOAD REPORT" not in printed.out + printed.err
    assert "Traceback" not in printed.out + printed.err


CUT = {
    **{f"{part}/{PARTS[part]}.safetensors": damage.WEIGHTS for part in PARTS},
    **{f"{part}/config.json": damage.JSON for part in PARTS},
    "tokenizer/vocab.json": damage.JSON,
    "tokenizer/tokenizer_config.json": damage.JSON,
    "tokenizer/merges.txt": damage.ANY_FILE,
}
"""Each file of Stable Diffusion, and how it may be damaged; `test_files` tests every damage."""


@pytest.mark.parametrize("file", CUT)
def test_a_damaged_file_of_stable_diffusion_is_refused(file: str, sd: Path, tmp_path: Path, capfd: Any) -> None:
    folder = damage.copy(sd, tmp_path / "sd")
    for name in ("cut", "empty"):
        if name in CUT[file]:
            spoil, words = CUT[file][name]
            spoil(folder / file)
            refused(load_sd, folder, folder / file, words, capfd)


def drop(tensors: dict[str, torch.Tensor]) -> None:
    del tensors[sorted(tensors)[-1]]


def spoil_number(value: float) -> Callable[[dict[str, torch.Tensor]], None]:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors[sorted(tensors)[0]].view(-1)[0] = value

    return spoil


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop, "lacks the tensor"),
        (spoil_number(float("nan")), "holds NaN or infinite values in"),
    ],
    ids=["missing", "nan"],
)
def test_missing_and_infinite_tensors_are_refused(
    part: str, change: Any, words: str, sd: Path, tmp_path: Path, capfd: Any
) -> None:
    folder = damage.copy(sd, tmp_path / "sd")
    file = folder / part / f"{PARTS[part]}.safetensors"
    damage.change_tensors(file, change)
    refused(load_sd, folder, file, words, capfd)


WRONG_CONFIGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "other width": ("unet", {"cross_attention_dim": 64}, "does not fit its config.json: .* has .*shape"),
    "no number": ("unet", {"block_out_channels": "x"}, "config.json cannot be loaded"),
    "unknown block": ("unet", {"down_block_types": ["Nope"] * 4}, "config.json cannot be loaded"),
    "vae width": ("vae", {"block_out_channels": [8, 8, 8, 8]}, "does not fit its config.json"),
    "text layers": ("text_encoder", {"num_hidden_layers": 1}, "does not fit .* no layer for .*layers.1"),
}


@pytest.mark.parametrize("name", WRONG_CONFIGS)
def test_configurations_that_do_not_fit_are_refused(name: str, sd: Path, tmp_path: Path, capfd: Any) -> None:
    folder = damage.copy(sd, tmp_path / "sd")
    part, values, words = WRONG_CONFIGS[name]
    damage.set_json(folder / part / "config.json", **values)
    refused(load_sd, folder, folder / part, words, capfd)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("vocab.json", json.dumps({"!": "zero"})),
        ("merges.txt", "#version: 0.2\nq z\n"),
        ("tokenizer_config.json", '{"model_max_length": "long", "tokenizer_class": "CLIPTokenizer"}'),
        ("tokenizer_config.json", "{}"),
        ("tokenizer_config.json", '{"model_max_length": 100}'),
    ],
)
def test_wrong_tokenizers_are_refused(file: str, content: str, sd: Path, tmp_path: Path, capfd: Any) -> None:
    folder = damage.copy(sd, tmp_path / "sd")
    (folder / "tokenizer" / file).write_text(content)
    refused(load_sd, folder, folder / "t", "cannot be loaded|must have a number", capfd)


def test_parts_of_different_models_are_refused(sd: Path, tmp_path: Path) -> None:
    folder = damage.copy(sd, tmp_path / "sd")
    damage.set_json(folder / "text_encoder/config.json", vocab_size=9)
    damage.change_tensors(
        folder / "text_encoder/model.safetensors",
        lambda tensors: tensors.update(
            {name: value[:9].clone() for name, value in tensors.items() if len(value) == 18}
        ),
    )
    damage.set_json(folder / "tokenizer/tokenizer_config.json", pad_token="n")
    (folder / "tokenizer/special_tokens_map.json").write_text("{}")
    with pytest.raises(BrokenWeights, match=r"text_encoder/config\.json cannot be loaded \(IndexError"):
        load_sd(folder)
    torch.manual_seed(0)
    config = UNet2DConditionModel.load_config(sd / "unet")
    UNet2DConditionModel.from_config({**config, "cross_attention_dim": 48}).save_pretrained(tmp_path / "sd/unet")
    damage.copy(sd / "text_encoder", tmp_path / "sd/text_encoder")
    damage.copy(sd / "tokenizer", tmp_path / "sd/tokenizer")
    with pytest.raises(BrokenWeights, match=r"/unet takes a prompt of width 48, but .* have width 32"):
        load_sd(folder)


@pytest.mark.parametrize(
    ("file", "spoil", "words"),
    [
        ("model.safetensors", partial(damage.change_tensors, change=spoil_number(float("nan"))), "holds NaN"),
        ("model.safetensors", partial(damage.change_tensors, change=drop), "lacks the tensor"),
        ("model.safetensors", *damage.WEIGHTS["cut"]),
        ("config.json", *damage.JSON["cut"]),
    ],
)
def test_damaged_files_of_a_vit_are_refused(
    file: str, spoil: damage.Damage, words: str, tmp_path: Path, capfd: Any
) -> None:
    folder, _ = build_tiny_vit("dinov2", tmp_path)
    spoil(folder / file)
    refused(load_vit, folder, folder / file, words, capfd)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hidden_size": 64}, "does not fit its config.json: .* has .*shape"),
        (
            {"num_hidden_layers": 2, "out_features": None, "out_indices": None},
            "fit its config.json, which has no layer",
        ),
        ({"num_hidden_layers": 4}, "lacks the tensor"),
        ({"patch_size": "8"}, "whole number of at least 1 as patch_size, got '8'"),
        ({"num_attention_heads": 0}, "cannot be loaded"),
    ],
)
def test_vit_configurations_that_do_not_fit_are_refused(
    values: dict[str, Any], words: str, tmp_path: Path, capfd: Any
) -> None:
    folder, _ = build_tiny_vit("dinov2", tmp_path / "vit")
    damage.set_json(folder / "config.json", **values)
    spec = tiny_spec(folder, layers=(0, 1))
    refused(lambda folder: spec.load("cpu"), folder, folder, words, capfd)


@pytest.mark.parametrize("kind", TINY_VITS)
@pytest.mark.parametrize(
    "values",
    [
        {"output_attentions": True, "attn_implementation": "eager"},
        {"_attn_implementation": "flash_attention_2", "_attn_implementation_autoset": True},
        {"output_hidden_states": True, "return_dict": False},
        {"dtype": "float16"},
    ],
    ids=lambda values: "+".join(values),
)
def test_attention_settings_in_the_configuration_of_a_vit_change_nothing(
    kind: str, values: dict[str, Any], tmp_path: Path
) -> None:
    """Such settings stay in the file of a user who has looked at the attention."""
    folder, _ = build_tiny_vit(kind, tmp_path / "vit")
    images = pictures(TINY_SPEC["size"])
    (expected,) = load_vit(folder).attend(images)
    damage.set_json(folder / "config.json", **values)
    damage.add_byte_order_mark(folder / "config.json")
    (maps,) = load_vit(folder).attend(images)
    assert all(torch.equal(maps.maps[side], expected.maps[side]) for side in expected.sides)


def test_loading_prints_nothing(tmp_path: Path, capfd: Any) -> None:
    folder, _ = build_tiny_vit("dinov2", tmp_path / "vit")
    transformers_logging.enable_progress_bar()
    capfd.readouterr()
    load_vit(folder)
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.is_progress_bar_enabled()  # the calling program's own setting stays


def test_attention_settings_of_a_text_encoder_change_nothing(sd: Path, tmp_path: Path) -> None:
    folder = damage.copy(sd, tmp_path / "sd")
    damage.set_json(folder / "text_encoder/config.json", output_attentions=True, return_dict=False)
    damage.add_byte_order_mark(folder / "text_encoder/config.json")
    assert torch.equal(load_sd(folder).prompt, load_sd(sd).prompt)


def widen_vision(file: Path) -> None:
    vision = json.loads(file.read_text())["vision_config"]
    damage.set_json(file, vision_config={**vision, "hidden_size": 64})


@pytest.mark.parametrize(
    ("file", "spoil", "words"),
    [
        ("model.safetensors", *damage.WEIGHTS["cut"]),
        ("config.json", *damage.JSON["cut"]),
        ("preprocessor_config.json", *damage.JSON["cut"]),
        ("tokenizer_config.json", *damage.JSON["cut"]),
        ("pytorch_model.bin", damage.cut, "cannot be loaded"),
        ("config.json", widen_vision, "does not fit its config"),
    ],
)
def test_damaged_files_of_the_captioner_are_refused(
    file: str, spoil: damage.Damage, words: str, tmp_path: Path, capfd: Any
) -> None:
    weights = file if file.endswith(".bin") else "model.safetensors"
    folder = build_tiny_blip(tmp_path / "blip", ("a", "cat"), weights)
    spoil(folder / file)
    refused(load_blip, folder, folder, words, capfd, key="captioner")


def test_pickles_alone_are_not_read(sd: Path, tmp_path: Path) -> None:
    folder = damage.copy(sd, tmp_path / "sd")
    (folder / "unet/diffusion_pytorch_model.safetensors").rename(folder / "unet/diffusion_pytorch_model.bin")
    with pytest.raises(
        MissingWeights, match=r"has no unet/diffusion_pytorch_model\.safetensors.*pickles .*are not read"
    ):
        load_sd(folder)


def test_a_lack_of_memory_is_not_reported_as_damage(tmp_path: Path) -> None:
    def exhausted() -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes")

    with pytest.raises(WeightsError, match=r"memory ran out while .* was read") as caught:
        guarded(exhausted, [], tmp_path)
    assert not isinstance(caught.value, BrokenWeights)


def test_the_guard_lets_interrupts_through(tmp_path: Path) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded(interrupted, [], tmp_path)
