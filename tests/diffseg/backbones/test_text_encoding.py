"""The empty prompt: tokens and embedding equal those of diffusers' pipeline."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
)
from transformers import CLIPTextModel, CLIPTokenizer

from diffseg.backbones import BrokenWeights
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.text_encoding import load_tokenizer, tokenize
from experiments.bench.tiny_sd import PROMPT_LENGTH, build_tiny_sd
from tests.helpers import damage


@pytest.mark.parametrize("version", ["1.4", "2.1"])
def test_prompt_is_the_pipelines_empty_prompt(tmp_path: Path, version: Literal["1.4", "2.1"]) -> None:
    folder = build_tiny_sd(tmp_path / "sd", version)
    loaded = StableDiffusion(str(folder), 128).load("cpu")
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


def test_a_tokenizer_saved_by_transformers_gives_the_same_tokens(sd: Path, tmp_path: Path) -> None:
    """transformers saves one file since its release 5; the published models have four."""
    copy = shutil.copytree(sd, tmp_path / "sd")
    shutil.rmtree(copy / "tokenizer")
    CLIPTokenizer.from_pretrained(sd / "tokenizer").save_pretrained(copy / "tokenizer")
    spec = StableDiffusion(str(copy))
    spec.check()
    published, saved = (load_tokenizer(spec.tokenizers[""]) for spec in (StableDiffusion(str(sd)), spec))
    for text in ("", "a cat on a sofa"):
        assert tokenize(saved, text).shape == (1, PROMPT_LENGTH)
        assert torch.equal(tokenize(saved, text), tokenize(published, text))


def test_a_tokenizer_without_a_length_is_refused(sd: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sd / "tokenizer", tmp_path / "tokenizer")
    damage.set_json(copy / "tokenizer_config.json", model_max_length=10**30)
    with pytest.raises(BrokenWeights, match=r"_config\.json must have a number up to 1024 as model_max_length"):
        load_tokenizer([copy / "tokenizer_config.json", copy / "vocab.json"])
