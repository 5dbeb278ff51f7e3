"""The words that name segments: the nouns of a photograph's caption (paper, Section 5), or the user's words.

Imports neither torch nor transformers, so missing files are reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffseg.backbones import BrokenWeights, MissingWeights
from diffseg.backbones.weights.files import ModelFiles, find, how_to_get, locate
from diffseg.pictures import Pixels

if TYPE_CHECKING:
    import torch

CAPTIONER = "Salesforce/blip-image-captioning-base"
FILES = ("config.json", "preprocessor_config.json", "tokenizer_config.json", "vocab.txt")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Either file is enough. The published repository has the second; transformers unpickles nothing but its tensors."""

PUBLISHED_FILES = (*FILES, WEIGHTS[1])

MAX_TOKENS = 20  # longest caption, as in the authors' code (transformers' default at that time); prompts take 77

# Words keep their inner hyphens. A genitive 's, and any other character except spaces, is a separate token.
TOKEN = re.compile(r"[^\W_]+(?:-[^\W_]+)*|'s|[^\w\s]")
NOUN_TAGS = ("NN", "NP")  # C5 tag set: common nouns (NN0, NN1, NN2) and proper nouns (NP0)

Span = tuple[int, int]


class NoNouns(ValueError):
    """The caption has no noun, so it names no segment."""


@dataclass(frozen=True)
class Prompt:
    """A prompt for the U-Net, and its words that may name a segment.

    Attributes:
        text: the prompt.
        words: word or phrase -> (start, end) of each of its occurrences in ``text``; in order of first occurrence.
    """

    text: str
    words: Mapping[str, tuple[Span, ...]]

    @classmethod
    def of_words(cls, words: Iterable[str]) -> Prompt:
        """Joins the user's words and phrases by commas, each once. Raises ValueError if there is no word."""
        chosen: dict[str, str] = {}
        for word in words:
            if cleaned := " ".join(word.split()):
                chosen.setdefault(cleaned.casefold(), cleaned)
        if not chosen:
            raise ValueError("must hold at least one word")
        spans: dict[str, tuple[Span, ...]] = {}
        start = 0
        for word in chosen.values():
            spans[word] = ((start, start + len(word)),)
            start += len(f"{word}, ")
        return cls(", ".join(spans), spans)

    @classmethod
    def of_caption(cls, caption: str) -> Prompt:
        """Finds the nouns of a caption, or raises `NoNouns`. Adjacent nouns are one name: "tennis racket"."""
        tokens = list(TOKEN.finditer(caption))
        tags = [tag for _, _, tag in _tagger().tag_sent([token.group() for token in tokens])]
        spans: dict[str, tuple[Span, ...]] = {}
        for is_noun, run in groupby(zip(tokens, tags, strict=True), lambda pair: pair[1].startswith(NOUN_TAGS)):
            if is_noun:
                nouns = [token for token, _ in run]
                name = " ".join(token.group().casefold() for token in nouns)
                spans[name] = (*spans.get(name, ()), (nouns[0].start(), nouns[-1].end()))
        if not spans:
            raise NoNouns(f'the caption "{caption}" has no noun')
        return cls(caption, spans)


@cache
def _tagger() -> Any:
    """HanTa (Wartena 2019): a hidden Markov model whose English parameters, 2 MB, come with the package."""
    from HanTa.HanoverTagger import HanoverTagger

    return HanoverTagger("morphmodel_en.pgz")


def locate_captioner(path: str) -> Path:
    """Folder of a BLIP captioning model on this machine; ``path`` is a folder, or a hub id in the local cache.

    Raises `WeightsError` if a file is missing or damaged.
    """
    try:
        if all(find(path, name) for name in FILES):
            for weights in WEIGHTS:
                if find(path, weights):
                    return locate(path, (*FILES, weights))
    except BrokenWeights as error:
        raise BrokenWeights(error.file, error.fault, error.remedy, key="captioner") from None
    except MissingWeights:
        pass  # neither a folder nor a hub id: the line below says more
    raise MissingWeights(
        f"captioner: {path} is not on this machine, or lacks one of {', '.join(FILES)} and {' or '.join(WEIGHTS)}: "
        f"run `{how_to_get(path, PUBLISHED_FILES)}`, or give its folder"
    )


class Captioner:
    """A loaded BLIP captioning model (Li et al., ICML 2022), float32."""

    def __init__(self, path: str, device: torch.device) -> None:
        """Loads the model. Raises `WeightsError` as `locate_captioner` does, and if the weights are not BLIP's."""
        import torch
        import transformers
        from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration

        from diffseg.backbones.weights.pretrained import configured, guarded, pretrained

        # Pillow's preprocessing, whether or not torchvision is installed: the same caption on every machine. Before
        # transformers 5 the class had no suffix.
        processor = getattr(transformers, "BlipImageProcessorPil", None) or transformers.BlipImageProcessor
        folder = locate_captioner(path)
        config, *others = (folder / name for name in FILES)
        weights = next(folder / name for name in WEIGHTS if (folder / name).is_file())
        try:
            self.processor = guarded(lambda: processor.from_pretrained(folder), others, others[0])
            self.tokenizer = guarded(lambda: BertTokenizer.from_pretrained(folder), others, folder)
            self.model = pretrained(
                BlipForConditionalGeneration,
                ModelFiles(config, (weights,)),
                torch.float32,
                config=configured(BlipConfig, config),
            ).to(device)
        except BrokenWeights as error:
            raise BrokenWeights(error.file, error.fault, error.remedy, key="captioner") from error

    def __call__(self, image: Pixels) -> str:
        """Captions ``(h, w, 3)`` uint8. Each token is the most probable one, so the caption is always the same."""
        pixels = self.processor(image, return_tensors="pt").pixel_values.to(self.model.device)
        tokens = self.model.generate(pixels, max_length=MAX_TOKENS, num_beams=1, do_sample=False)
        return self.tokenizer.decode(tokens[0], skip_special_tokens=True).strip()
