"""Writes a random BLIP with a few thousand weights in the layout of the published models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
import transformers
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration

# The class that uses Pillow has had a suffix since transformers 5.
BlipImageProcessor = getattr(transformers, "BlipImageProcessorPil", None) or transformers.BlipImageProcessor

WORDS = ("a", "the", "cat", "dog", "sofa", "green", "on", "is")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY = (*SPECIAL, *WORDS)
PAD, END = (SPECIAL.index(token) for token in ("[PAD]", "[SEP]"))
BEGIN = len(VOCABULARY)  # as in the published model, the tokenizer does not have this token
WIDTH = 32
SIDE = 16  # side of the model's input in pixels


def build_tiny_blip(
    folder: Path,
    caption: Sequence[str] | None = None,
    weights: Literal["model.safetensors", "pytorch_model.bin"] = "model.safetensors",
) -> Path:
    """Writes model, tokenizer and image processor to ``folder`` and returns it.

    Args:
        caption: words of `WORDS` that the model gives to every picture; None: random words that depend on the picture.
        weights: name of the file with the weights. The published repository has the latter.
    """
    torch.manual_seed(0)
    sizes = {"hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**sizes, "encoder_hidden_size": WIDTH, "vocab_size": BEGIN + 1, "max_position_embeddings": WIDTH}
    text |= {"bos_token_id": BEGIN, "eos_token_id": END, "sep_token_id": END, "pad_token_id": PAD}
    vision = {**sizes, "image_size": SIDE, "patch_size": SIDE // 4, "initializer_range": 1.0}
    config = BlipConfig(text_config={**text, "initializer_range": 1.0}, vision_config=vision, projection_dim=WIDTH)
    model = BlipForConditionalGeneration(config).eval()
    if caption is not None:
        _teach(model, [*map(VOCABULARY.index, caption), END])
    model.save_pretrained(folder)
    if weights == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / weights)
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    BlipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


@torch.no_grad()
def _teach(model: BlipForConditionalGeneration, tokens: Sequence[int]) -> None:
    """Makes the n-th token depend only on its position, not on the picture or on earlier tokens."""
    decoder = model.text_decoder
    for name, weight in decoder.named_parameters():
        if "output.dense" in name:  # layers then pass their input on
            weight.zero_()
    decoder.cls.predictions.transform.dense.weight.copy_(torch.eye(WIDTH))
    decoder.cls.predictions.transform.dense.bias.zero_()
    embeddings = decoder.bert.embeddings
    embeddings.word_embeddings.weight.copy_(torch.eye(BEGIN + 1, WIDTH))  # distinguishes the tokens
    decoder.cls.predictions.decoder.weight.copy_(torch.eye(BEGIN + 1, WIDTH))  # untied in old releases
    for position, token in enumerate(tokens):
        embeddings.position_embeddings.weight[position] = 3 * torch.eye(WIDTH)[token]
