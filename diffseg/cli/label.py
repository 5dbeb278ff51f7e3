"""``python -m diffseg --label``: names the segments of a picture, and writes them to files."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from diffseg import pictures
from diffseg.backbones import Backbone, MissingWeights, WeightsError
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.choices import DEFAULT_VOTE
from diffseg.files import write_text
from diffseg.labelling.captioning import CAPTIONER, Captioner, Prompt, locate_captioner

if TYPE_CHECKING:
    from diffseg.labelling.naming import Named
    from diffseg.model import Model
    from diffseg.recipe import Recipe

DEFAULTS = {"vote": DEFAULT_VOTE, "unconditional": False, "captioner": CAPTIONER}


def problems(args: argparse.Namespace, spec: Backbone) -> list[str]:
    """Checks what ``--label`` needs, without importing torch. Returns a line for each problem.

    Problems are options that need ``--label``, a backbone that attends to no words, a missing package, and a captioner
    that is not on this machine.
    """
    if not args.label:
        given = [f"--{name}" for name, value in DEFAULTS.items() if getattr(args, name) != value]
        return [f"argument {name}: needs --label" for name in given]
    found = []
    if type(spec) is not StableDiffusion:  # XL reads two prompts at once
        found.append(f"argument --label: {args.backbone} attends to no words, give --backbone sd14")
    if not args.words:
        if find_spec("HanTa") is None:
            found.append("argument --label: needs the package HanTa: pip install HanTa")
        try:
            locate_captioner(args.captioner)
        except MissingWeights as error:
            found.append(f"{error} with --captioner DIR, or your own words with --words")
        except WeightsError as error:
            found.append(str(error))
    return found


@dataclass(frozen=True)
class NamedResult:
    """Result of `Labeller` for one picture.

    Attributes:
        segments: ``(h, w)`` label map before segments of the same name are merged; 0 is the largest.
        named: the merged and named segments.
        settings: prompt, vote and masks, for the JSON.
    """

    segments: pictures.Labels
    named: Named
    settings: dict[str, str]


class Labeller:
    """Segments pictures and names the segments."""

    def __init__(self, model: Model, recipe: Recipe, args: argparse.Namespace) -> None:
        """Loads text encoder and captioner. Raises ValueError if the words fit no prompt or weights are broken."""
        from diffseg.labelling.cross_attention import PromptEncoder

        self.model, self.recipe = model, recipe
        self.network = cast(Any, model.network)  # a `UNetAttention`, as `problems` made sure
        self.vote, self.unconditional = args.vote, args.unconditional
        device = self.network.unet.device
        self.encoder = PromptEncoder(self.network.spec, device)
        self.words: Prompt | None = args.words
        if self.words:
            self.encoder.encode(self.words.text)
        else:
            self.captioner = Captioner(args.captioner, device)

    def __call__(self, image: pictures.Pixels) -> NamedResult:
        """Segments and names ``(h, w, 3)`` uint8. Raises `NoNouns` if the caption has no noun."""
        from diffseg.labelling import cross_attention
        from diffseg.labelling.naming import merge, responses, vote

        prompt = self.words or Prompt.of_caption(self.captioner(image))
        positions = [self.encoder.positions(prompt.text, spans) for spans in prompt.words.values()]
        square, spec = self.model.squares([image]), self.network.spec
        latents = self.network.encode(square)
        with cross_attention.collect(self.network.unet) as crossed:
            (maps,) = self.network.attend_encoded(latents, spec, self.encoder.encode(prompt.text))
        if self.unconditional:
            (maps,) = self.network.attend_encoded(latents, spec)
        segments = self.recipe(image, square[0], maps).labels
        where = responses(crossed.maps[0], positions, spec.size).cpu().numpy()
        named = merge(segments, tuple(prompt.words), vote(segments, where, self.vote))
        masks = "of the empty prompt" if self.unconditional else "of this prompt"
        return NamedResult(segments, named, {"prompt": prompt.text, "vote": self.vote, "masks": masks})


def write(target: Path, photo: Path, image: pictures.Pixels, result: NamedResult) -> pictures.Pixels:
    """Writes ``TARGET.named.png`` and ``TARGET.named.json``, a COCO file. Returns the picture.

    Args:
        target: path of the files without their suffixes.
        photo: file of the photograph.
        image: ``(h, w, 3)`` uint8.
        result: the named segments. Each annotation gets ``segments``, the numbers of its parts in the label map.

    Raises:
        OSError: a file cannot be written.
    """
    from diffseg.labelling.named_pictures import draw
    from diffseg.result import coco

    drawn = draw(image, result.named)
    pictures.write_picture(f"{target}.named.png", drawn)
    content = coco([(photo.name, result.named.labels, result.named.names)])
    for each in content["annotations"]:
        each["segments"] = list(result.named.parts[each.pop("segment")])
    text = json.dumps(content | {"info": result.settings}, indent=1, ensure_ascii=False)
    write_text(f"{target}.named.json", f"{text}\n")
    return drawn
