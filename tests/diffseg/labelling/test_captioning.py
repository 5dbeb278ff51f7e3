"""Nouns of captions, and captions of BLIP with random weights against transformers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import BlipForConditionalGeneration, BlipProcessor

from diffseg.backbones import MissingWeights
from diffseg.labelling.captioning import FILES, Captioner, NoNouns, Prompt, locate_captioner
from tests.helpers.tiny_blip import build_tiny_blip

CPU = torch.device("cpu")


def photo(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)


# --- words


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("two cats sleeping on a couch", ["cats", "couch"]),
        ("a man riding a wave on a surfboard", ["man", "wave", "surfboard"]),
        ("a woman holding a tennis racket on a court", ["woman", "tennis racket", "court"]),
        ("a clock tower with a clear sky", ["clock tower", "sky"]),
        ("a dog, a cat and another dog", ["dog", "cat"]),
        ("a bird's nest in a tree", ["bird", "nest", "tree"]),
        ("A Horse, in a snow-covered field.", ["horse", "field"]),
        ("flowers", ["flowers"]),
    ],
)
def test_nouns_of_a_caption_are_found(caption: str, expected: list[str]) -> None:
    prompt = Prompt.of_caption(caption)
    assert prompt.text == caption
    assert list(prompt.words) == expected
    for name, spans in prompt.words.items():
        assert {caption[start:end].casefold() for start, end in spans} == {name}
        assert len(spans) == caption.casefold().count(name)


@pytest.mark.parametrize("caption", ["", "is sleeping", "very green and large ..."])
def test_a_caption_without_nouns_is_an_error(caption: str) -> None:
    with pytest.raises(NoNouns, match=f'the caption "{caption}" has no noun$'):
        Prompt.of_caption(caption)


def test_own_words_are_kept_once_and_in_order() -> None:
    prompt = Prompt.of_words([" remote  control", " Sofa ", "", "cat", "sofa", "cats"])
    assert prompt.text == "remote control, Sofa, cat, cats"
    assert list(prompt.words) == ["remote control", "Sofa", "cat", "cats"]
    for word, spans in prompt.words.items():
        assert [prompt.text[start:end] for start, end in spans] == [word]  # "cat" is not found in "cats"
    with pytest.raises(ValueError, match="must hold at least one word"):
        Prompt.of_words([" ", ""])


# --- captions


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_blip(tmp_path_factory.mktemp("blip"))


def test_captions_are_those_of_transformers(tiny: Path) -> None:
    processor = BlipProcessor.from_pretrained(tiny, backend="pil")
    model = BlipForConditionalGeneration.from_pretrained(tiny)
    captioner = Captioner(str(tiny), CPU)
    captions = []
    for seed in range(6):
        inputs = processor(images=photo(seed), return_tensors="pt")
        expected = processor.decode(model.generate(**inputs, max_length=20)[0], skip_special_tokens=True)
        captions.append(captioner(photo(seed)))
        assert captions[-1] == expected
    assert len(set(captions)) > 2


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_the_weights_are_read_from_either_file(tmp_path: Path, weights: str) -> None:
    words = ("a", "cat", "on", "the", "green", "sofa")
    folder = build_tiny_blip(tmp_path / "blip", words, weights)  # type: ignore[arg-type]
    assert (folder / weights).is_file()
    assert Captioner(str(folder), CPU)(photo(0)) == "a cat on the green sofa"


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    folder = build_tiny_blip(tmp_path / "blip", weights="pytorch_model.bin")
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    del weights["vision_model.post_layernorm.weight"]
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"captioner: .* lacks the tensor vision_model\.post_layernorm\.weight"):
        Captioner(str(folder), CPU)


@pytest.mark.parametrize("path", ["owner/captions", "./nowhere", "no hub id"])
def test_a_missing_captioner_is_one_line(path: str) -> None:
    with pytest.raises(MissingWeights) as caught:
        locate_captioner(path)
    message = str(caught.value)
    assert message.startswith(f"captioner: {path} is not on this machine")
    assert message.endswith("`, or give its folder")
    assert "\n" not in message


@pytest.mark.parametrize("file", [*FILES, "model.safetensors"])
def test_a_captioner_that_lacks_a_file_is_an_error(tiny: Path, tmp_path: Path, file: str) -> None:
    folder = shutil.copytree(tiny, tmp_path / "blip")
    assert locate_captioner(str(folder)) == folder
    (folder / file).unlink()
    with pytest.raises(MissingWeights, match=f"or lacks one of .*{file}"):
        locate_captioner(str(folder))
