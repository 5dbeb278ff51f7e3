"""Stable Diffusion: its configuration, files, latents and prompt, and the errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from diffseg.backbones import MissingWeights
from diffseg.backbones.device import pick_device
from diffseg.backbones.stable_diffusion import PUBLISHED_FILES, StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention
from experiments.bench.tiny_sd import PROMPT_LENGTH, build_tiny_sd, pictures
from tests.conftest import ROOT

SIZE = 128


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_sd(tmp_path_factory.mktemp("sd14"))


@pytest.fixture(scope="module")
def model(tiny: Path) -> UNetAttention:
    return StableDiffusion(str(tiny), SIZE).load("cpu")


def test_latents_are_the_scaled_posterior_mean(model: UNetAttention, tiny: Path) -> None:
    vae = AutoencoderKL.from_pretrained(tiny / "vae")
    images = pictures(SIZE)
    with torch.no_grad():
        expected = 0.18215 * vae.encode(2 * images / 255 - 1).latent_dist.mode()
    torch.testing.assert_close(model.encode(images), expected)


@pytest.mark.parametrize("version", ["1.4", "2.1"])
def test_prompt_is_the_pipelines_empty_prompt(tmp_path: Path, version: Literal["1.4", "2.1"]) -> None:
    folder = build_tiny_sd(tmp_path / "sd", version)
    loaded = StableDiffusion(str(folder), SIZE).load("cpu")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    assert tokenizer.pad_token == {"1.4": "<|endoftext|>", "2.1": "!"}[version]
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(folder / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder"),
        tokenizer=tokenizer,
        unet=loaded.unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    expected, _ = pipeline.encode_prompt("", "cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
    assert loaded.prompt.shape[1] == PROMPT_LENGTH
    torch.testing.assert_close(loaded.prompt, expected.detach())


@pytest.mark.parametrize("size", [64, 192, 320])
def test_sides_and_layers_follow_from_the_size(tiny: Path, size: int) -> None:
    spec = StableDiffusion(str(tiny), size)
    (attention,) = spec.load("cpu").attend(pictures(size))
    finest = size // 8
    assert dict(attention.layers) == {finest: 5, finest // 2: 5, finest // 4: 5, finest // 8: 1}
    assert spec.sides[0] == finest


def test_published_weight_names_load_alike(model: UNetAttention, tiny: Path, tmp_path: Path) -> None:
    """The files on the hub keep the names of the libraries' first versions: query, key, ...; text_model."""
    folder = shutil.copytree(tiny, tmp_path / "published")
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    vae, text = folder / "vae/diffusion_pytorch_model.safetensors", folder / "text_encoder/model.safetensors"
    renamed = {}
    for name, weight in load_file(vae).items():
        for new, published in old.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{published}.")
        renamed[name] = weight
    save_file(renamed, vae, {"format": "pt"})
    positions = {"text_model.embeddings.position_ids": torch.arange(PROMPT_LENGTH)[None]}
    save_file({f"text_model.{name}": weight for name, weight in load_file(text).items()} | positions, text)
    published_model = StableDiffusion(str(folder), SIZE).load("cpu")
    assert any("proj_attn" in name for name in load_file(vae))
    assert torch.equal(published_model.prompt, model.prompt)
    assert torch.equal(published_model.encode(pictures(SIZE)), model.encode(pictures(SIZE)))
    assert published_model.spec.fingerprint != model.spec.fingerprint


def test_fingerprint_follows_the_weights(model: UNetAttention, tiny: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    assert StableDiffusion(str(copy), SIZE).fingerprint == model.spec.fingerprint
    weights = load_file(copy / "unet/diffusion_pytorch_model.safetensors")
    weights["conv_in.bias"][0] += 1
    save_file(weights, copy / "unet/diffusion_pytorch_model.safetensors", {"format": "pt"})
    assert StableDiffusion(str(copy), SIZE).fingerprint != model.spec.fingerprint


def test_a_missing_tensor_is_an_error(tiny: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    weights = load_file(copy / "text_encoder/model.safetensors")
    del weights["final_layer_norm.bias"]
    save_file(weights, copy / "text_encoder/model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"/text_encoder/model\.safetensors lacks the tensor final_layer_norm\.bias"):
        StableDiffusion(str(copy), SIZE).load("cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 500}, "size: must be a positive multiple of 64, got 500"),
        ({"size": 0}, "size: must be a positive multiple of 64, got 0"),
        ({"timestep": 1000}, r"timestep: must be 0\.\.999, got 1000"),
        ({"timestep": -1}, r"timestep: must be 0\.\.999, got -1"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(StableDiffusion(), **change)


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (3, SIZE, SIZE), (1, 1, SIZE, SIZE)])
def test_images_of_another_shape_are_refused(model: UNetAttention, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images: must have shape \('B', 3, 128, 128\)"):
        model.attend(torch.zeros(shape))


@pytest.mark.parametrize("name", PUBLISHED_FILES)
def test_a_missing_file_is_named(tiny: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    (copy / name).unlink()
    with pytest.raises(MissingWeights) as caught:
        StableDiffusion(str(copy)).check()
    message = str(caught.value)
    assert name in message
    assert str(copy) in message
    assert "\n" not in message


def test_models_of_another_structure_are_refused(model: UNetAttention) -> None:
    def built(vae: AutoencoderKL, unet: UNet2DConditionModel, spec: StableDiffusion = model.spec) -> None:
        UNetAttention(vae, unet, model.prompt, spec, torch.device("cpu"))

    def unet(**changes: Any) -> UNet2DConditionModel:
        with torch.device("meta"):
            return UNet2DConditionModel.from_config({**model.unet.config, **changes})

    with torch.device("meta"):
        half_vae = AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 3, block_out_channels=(32,) * 3)
    with pytest.raises(ValueError, match="encodes 4 pixels to a latent; only 8"):
        built(half_vae, model.unet)
    with pytest.raises(ValueError, match="takes 9 channels, but its VAE has 4"):
        built(model.vae, unet(in_channels=9))
    with pytest.raises(ValueError, match="no attention at the finest side"):
        built(model.vae, unet(down_block_types=["DownBlock2D", *["CrossAttnDownBlock2D"] * 3]))
    deeper = unet(
        down_block_types=["CrossAttnDownBlock2D"] * 5, up_block_types=["UpBlock2D"] * 5, block_out_channels=(16,) * 5
    )
    with pytest.raises(ValueError, match="downsamples a latent by 16; only 8"):
        built(model.vae, deeper, replace(model.spec, size=192))


def hub_cache(tiny: Path, folder: Path) -> Path:
    """Stores the tiny model as the hub's client stores v1.4: snapshots are links to blobs."""
    repository = folder / "models--CompVis--stable-diffusion-v1-4"
    snapshot = repository / "snapshots" / ("0" * 40)
    for name in PUBLISHED_FILES:
        blob = repository / "blobs" / name.replace("/", "-")
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny / name, blob)
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(blob)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("0" * 40)
    return repository


def test_a_hub_id_is_read_from_the_local_cache(
    model: UNetAttention, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    spec = StableDiffusion(size=SIZE)
    with pytest.raises(MissingWeights, match=r"vae/config.json of CompVis/stable-diffusion-v1-4.*make weights"):
        spec.check()
    hub_cache(tiny, tmp_path)
    spec.check()
    (attention,) = spec.load("cpu").attend(pictures(SIZE))
    assert torch.equal(attention.maps[16], model.attend(pictures(SIZE))[0].maps[16])


def test_the_check_imports_no_torch(tiny: Path) -> None:
    code = (
        "import sys; from diffseg.backbones.stable_diffusion import StableDiffusion; "
        f"StableDiffusion({str(tiny)!r}).check(); print('torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True
    )
    assert (run.stdout.strip(), run.stderr) == ("False", "")


def test_device_names_are_checked() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="device: cuda:99 is not available"):
        pick_device("cuda:99")
    with pytest.raises(ValueError, match="device: must be auto, cpu, cuda"):
        pick_device("gpu")


def test_a_tokenizer_saved_by_transformers_gives_the_same_prompt(
    tiny: Path, model: UNetAttention, tmp_path: Path
) -> None:
    """transformers saves one file; the published models have four."""
    copy = tmp_path / "sd"
    shutil.copytree(tiny, copy)
    shutil.rmtree(copy / "tokenizer")
    CLIPTokenizer.from_pretrained(tiny / "tokenizer").save_pretrained(copy / "tokenizer")
    assert not (copy / "tokenizer" / "vocab.json").exists()
    spec = StableDiffusion(str(copy), SIZE)
    spec.check()
    torch.testing.assert_close(spec.load("cpu").prompt, model.prompt, atol=0, rtol=0)
