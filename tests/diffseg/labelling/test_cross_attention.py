"""The cross-attention collected from a U-Net against diffusers' own attention scores, on random weights."""

from __future__ import annotations

import pytest
import torch

from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention
from diffseg.labelling.cross_attention import PromptEncoder, collect
from experiments.bench.tiny_sd import PROMPT_LENGTH, build_tiny_sd, pictures
from tests.helpers.unet import reference

SIZE = 128
SIDES = {16: 5, 8: 5, 4: 5, 2: 1}  # side -> layers
CAPTION = "a cat on a sofa"


@pytest.fixture(scope="module", params=["1.4", "2.1"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> UNetAttention:
    return StableDiffusion(str(build_tiny_sd(tmp_path_factory.mktemp("sd"), request.param)), SIZE).load("cpu")


@pytest.fixture(scope="module")
def encoder(model: UNetAttention) -> PromptEncoder:
    return PromptEncoder(model.spec, torch.device("cpu"))


def test_maps_are_the_mean_of_diffusers_own_scores(model: UNetAttention, encoder: PromptEncoder) -> None:
    images, prompt = pictures(SIZE, 2), encoder.encode(CAPTION)
    expected = reference(model, images, prompt, kind="attn2")
    with collect(model.unet) as crossed:
        model.attend_encoded(model.encode(images), model.spec, prompt)
    assert crossed.layers == SIDES
    assert len(crossed.maps) == 2
    for number, maps in enumerate(crossed.maps):
        assert set(maps) == set(SIDES)
        for side, attention in maps.items():
            assert attention.shape == (side**2, PROMPT_LENGTH)
            torch.testing.assert_close(attention.sum(dim=1), torch.ones(side**2))
            torch.testing.assert_close(attention, expected[side][number], atol=1e-6, rtol=1e-4)
            # Flat maps, or the same everywhere, would prove little.
            assert attention.std(dim=0).max() > 1e-5
            assert attention.std(dim=1).max() > 1e-4


def test_the_pass_and_its_self_attention_stay_the_same(model: UNetAttention, encoder: PromptEncoder) -> None:
    latents, prompt = model.encode(pictures(SIZE)), encoder.encode(CAPTION)
    before = model.predict(latents, 300, prompt)
    (alone,) = model.attend_encoded(latents, model.spec, prompt)
    with collect(model.unet):
        assert torch.equal(model.predict(latents, 300, prompt), before)
        (beside,) = model.attend_encoded(latents, model.spec, prompt)
    assert all(torch.equal(alone.maps[side], beside.maps[side]) for side in SIDES)


def test_the_prompt_changes_the_self_attention_and_no_prompt_is_the_empty_one(
    model: UNetAttention, encoder: PromptEncoder
) -> None:
    latents = model.encode(pictures(SIZE))
    torch.testing.assert_close(encoder.encode(""), model.prompt, atol=0, rtol=0)
    (without,) = model.attend_encoded(latents, model.spec)
    (empty,) = model.attend_encoded(latents, model.spec, encoder.encode(""))
    (captioned,) = model.attend_encoded(latents, model.spec, encoder.encode(CAPTION))
    assert all(torch.equal(without.maps[side], empty.maps[side]) for side in SIDES)
    assert (without.maps[8] - captioned.maps[8]).abs().max() > 1e-5


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        (CAPTION, "cat", [2]),
        (CAPTION, "sofa", [5, 6]),  # so-fa
        (CAPTION, "a sofa", [4, 5, 6]),
        ("Cat,  sofa", "sofa", [3, 4]),  # upper case and a second space, which the tokenizer drops
        ("cat, sofa", "cat", [1]),
    ],
)
def test_the_tokens_of_a_word_are_found(encoder: PromptEncoder, text: str, word: str, expected: list[int]) -> None:
    start = text.index(word)
    assert encoder.positions(text, [(start, start + len(word))]) == expected
    assert encoder.positions("a cat on a cat", [(2, 5), (11, 14)]) == [2, 5]


def test_a_word_without_tokens_and_a_prompt_too_long_are_refused(encoder: PromptEncoder) -> None:
    with pytest.raises(ValueError, match="words: the text encoder has no token for"):
        encoder.positions("cat  sofa", [(3, 5)])
    assert encoder.encode("cat " * (PROMPT_LENGTH - 2)).shape[1] == PROMPT_LENGTH
    with pytest.raises(ValueError, match=r"words: the prompt may have 77 tokens, its two ends included, got 78"):
        encoder.encode("cat " * (PROMPT_LENGTH - 1))
