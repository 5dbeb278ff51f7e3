"""Checkpoints in every common layout give the same attention as the plain folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from diffseg.backbones import BrokenWeights, MissingWeights, WeightsError
from diffseg.backbones.stable_diffusion import StableDiffusion, StableDiffusionXL
from diffseg.backbones.vit import ViT
from diffseg.backbones.weights.pretrained import DTYPE
from diffseg.backbones.weights.single_file import ARCHITECTURES, EXCLAMATION
from diffseg.labelling.cross_attention import PromptEncoder
from experiments.bench.tiny_sd import build_tiny_sd, pictures
from tests.helpers import damage
from tests.helpers.ldm_layout import write_ldm_file
from tests.helpers.tiny_sdxl import build_tiny_sdxl
from tests.helpers.tiny_vits import TINY_SPEC, build_tiny_vit

SIZE = 64
FAMILIES = {"sd1": StableDiffusion, "sd2": StableDiffusion, "sdxl": StableDiffusionXL}


def build(family: str, folder: Path) -> Path:
    if family == "sdxl":
        return build_tiny_sdxl(folder)
    return build_tiny_sd(folder, "1.4" if family == "sd1" else "2.1")


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Family and folder of a tiny model."""
    return request.param, build(request.param, tmp_path_factory.mktemp(request.param) / "model")


def maps(spec: StableDiffusion) -> dict[int, torch.Tensor]:
    (attention,) = spec.load("cpu").attend(pictures(SIZE))
    return dict(attention.maps)


def equal(first: dict[int, torch.Tensor], second: dict[int, torch.Tensor]) -> bool:
    """Equal but for the last bits, which depend on where a tensor lies in memory."""
    return all(torch.allclose(first[side], second[side], atol=1e-6, rtol=1e-4) for side in first | second)


def classes(folder: Path) -> dict[str, Any]:
    kinds = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    if (folder / "text_encoder_2").is_dir():
        kinds["text_encoder_2"] = CLIPTextModelWithProjection
    return kinds


def rewritten(folder: Path, to: Path, **options: Any) -> Path:
    """Saves the models again with these options of diffusers and transformers, and copies the tokenizers."""
    for part, kind in classes(folder).items():
        kind.from_pretrained(folder / part).save_pretrained(to / part, **options)
    for tokenizer in folder.glob("tokenizer*"):
        shutil.copytree(tokenizer, to / tokenizer.name)
    return to


def test_shards_give_the_same_maps_and_damaged_ones_are_named(model: tuple[str, Path], tmp_path: Path) -> None:
    family, folder = model
    copy = rewritten(folder, tmp_path / "sharded", max_shard_size="200KB")
    for part in ("unet", "vae"):
        assert len(list((copy / part).glob("*-of-*.safetensors"))) > 1
        assert not (copy / part / "diffusion_pytorch_model.safetensors").exists()
    spec = FAMILIES[family](str(copy), SIZE)
    assert equal(maps(spec), maps(FAMILIES[family](str(folder), SIZE)))
    shard = sorted((copy / "unet").glob("*-of-*.safetensors"))[-1]
    assert shard in spec.files
    before = spec.fingerprint
    damage.change_tensors(shard, lambda tensors: next(iter(tensors.values())).add_(1))
    assert FAMILIES[family](str(copy), SIZE).fingerprint != before
    damage.cut(shard)
    with pytest.raises(BrokenWeights, match=f"{shard.name} is cut short"):
        FAMILIES[family](str(copy), SIZE).check()
    shard.unlink()
    with pytest.raises(MissingWeights, match=f"index.json names .*{shard.name}, which is missing"):
        FAMILIES[family](str(copy), SIZE).check()


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "100KB"}], ids=["whole", "sharded"])
def test_half_precision_files_are_loaded_as_float32(
    model: tuple[str, Path], shards: dict[str, str], tmp_path: Path
) -> None:
    family, folder = model
    half = tmp_path / "half"
    dtype = {DTYPE: torch.float16}
    for part, kind in classes(folder).items():
        kind.from_pretrained(folder / part, **dtype).save_pretrained(half / part, variant="fp16", **shards)
    for tokenizer in folder.glob("tokenizer*"):
        shutil.copytree(tokenizer, half / tokenizer.name)
    assert all(".fp16" in file.name for file in half.rglob("*.safetensors"))
    spec = FAMILIES[family](str(half), SIZE)
    rounded, exact = maps(spec), maps(FAMILIES[family](str(folder), SIZE))
    assert spec.load("cpu").unet.dtype == torch.float32
    for side, rows in exact.items():
        assert side == 1 or 0 < (rounded[side] - rows).abs().max() < 0.01
    damage.copy(folder, half)  # if both are there, full precision is read
    assert equal(maps(FAMILIES[family](str(half), SIZE)), exact)


def test_shards_of_a_vit_give_the_same_maps(tmp_path: Path) -> None:
    folder, _ = build_tiny_vit("dinov2", tmp_path / "vit")
    from transformers import Dinov2Model

    Dinov2Model.from_pretrained(folder).save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    specs = [ViT(path=str(path), **TINY_SPEC) for path in (folder, tmp_path / "sharded")]
    assert len(specs[1].model.weights) > 2
    first, second = (dict(spec.load("cpu").attend(pictures(TINY_SPEC["size"]))[0].maps) for spec in specs)
    assert equal(first, second)


def test_one_file_with_configurations_beside_it_gives_the_same_maps(
    model: tuple[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the published repositories, the file lies beside the folders."""
    family, folder = model
    file = write_ldm_file(folder, tmp_path / "model.safetensors", family)
    for part in folder.iterdir():
        shutil.copytree(part, tmp_path / part.name, ignore=shutil.ignore_patterns("*.safetensors"))
    spec = FAMILIES[family](str(file), SIZE)
    spec.check()
    assert spec.files[0] == file
    capfd.readouterr()
    spec.load("cpu")
    assert capfd.readouterr() == ("", "")  # diffusers has warnings about an empty list of modules
    assert equal(maps(spec), maps(FAMILIES[family](str(folder), SIZE)))
    prompts = [each.load("cpu") for each in (spec, FAMILIES[family](str(folder), SIZE))]
    torch.testing.assert_close(prompts[0].prompt, prompts[1].prompt)
    if family != "sdxl":
        encoder, other = (PromptEncoder(each.spec, torch.device("cpu")) for each in prompts)
        torch.testing.assert_close(encoder.encode("a cat"), other.encode("a cat"))
    before = spec.fingerprint
    damage.set_json(tmp_path / "unet/config.json", sample_size=8)
    assert FAMILIES[family](str(file), SIZE).fingerprint != before


def test_one_file_alone_is_loaded_with_the_published_configuration(
    model: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test puts the configuration of the tiny model in place of the published one."""
    family, folder = model
    file = write_ldm_file(folder, tmp_path / "model.safetensors", family)
    configs = {part: json.loads((folder / part / "config.json").read_text()) for part in classes(folder)}
    monkeypatch.setitem(ARCHITECTURES, family, configs)
    tokens = json.loads((folder / "tokenizer/vocab.json").read_text())
    begin, end = tokens["<|startoftext|>"], tokens["<|endoftext|>"]
    monkeypatch.setattr("diffseg.backbones.text_encoding.BEGIN", begin)
    monkeypatch.setattr("diffseg.backbones.text_encoding.END", end)
    assert tokens["!"] == EXCLAMATION
    for part in configs:
        for key in ("bos_token_id", "eos_token_id"):
            configs[part].pop(key, None)
    spec = FAMILIES[family](str(file), SIZE)
    assert spec.files == (file,)
    loaded = spec.load("cpu")
    expected = FAMILIES[family](str(folder), SIZE).load("cpu")
    torch.testing.assert_close(loaded.prompt, expected.prompt)
    assert equal(maps(spec), maps(expected.spec))
    if family != "sdxl":
        with pytest.raises(BrokenWeights, match="holds no tokenizer, which words need"):
            PromptEncoder(spec, torch.device("cpu"))


def test_files_that_are_no_stable_diffusion_are_refused(model: tuple[str, Path], tmp_path: Path) -> None:
    family, folder = model
    file = write_ldm_file(folder, tmp_path / "model.safetensors", family)

    def refused(words: str, file: Path = file, kind: Any = FAMILIES[family]) -> None:
        with pytest.raises(WeightsError, match=words) as caught:
            kind(str(file), SIZE).load("cpu")
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)

    other = StableDiffusionXL if family != "sdxl" else StableDiffusion
    refused(f"is a {family} checkpoint, and {other.__name__} takes", kind=other)
    refused("holds no complete Stable Diffusion", folder / "unet/diffusion_pytorch_model.safetensors")
    refused("does not fit|cannot be loaded|lacks the tensor")  # tiny tensors do not fit the published configuration
    damage.cut(file)
    refused("is cut short")
    file.rename(file.with_suffix(".ckpt"))
    refused(r"is not a \.safetensors file", file.with_suffix(".ckpt"))
