"""``python -m diffseg --label``: names the segments of a picture, and writes them to files."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from diffseg import pictures
from diffseg.backbones import Backbone, MissingWeights, WeightsError
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.choices import DEFAULT_VOTE, Vote
from diffseg.files.writing import write_text
from diffseg.labelling.captioning import CAPTIONER, Captioner, Prompt, locate_captioner
from diffseg.result import Result, coco

if TYPE_CHECKING:
    from diffseg.labelling.naming import Named
    from diffseg.model import Model
    from diffseg.recipe import Recipe


def problems(args: argparse.Namespace, spec: Backbone) -> list[str]:
    """A line for each thing that ``--label`` needs and does not have: backbone, package, captioner. Needs no torch."""
    lines = []
    if type(spec) is not StableDiffusion:  # XL reads two prompts at once
        lines.append(f"argument --label: {args.backbone} attends to no words, give --backbone sd14")
    if not args.words:
        if find_spec("HanTa") is None:
            lines.append("argument --label: needs the package HanTa: pip install HanTa")
        try:
            locate_captioner(args.captioner or CAPTIONER)
        except MissingWeights as error:
            lines.append(f"{error} with --captioner DIR, or your own words with --words")
        except WeightsError as error:
            lines.append(str(error))
    return lines


class Labeller:
    """Segments pictures and names the segments."""

    def __init__(self, model: Model, recipe: Recipe, args: argparse.Namespace) -> None:
        """Loads text encoder and captioner. Raises ValueError if the words fit no prompt or weights are broken."""
        from diffseg.labelling.cross_attention import PromptEncoder

        self.model, self.recipe, self.args = model, recipe, args
        self.network = cast(Any, model.network)  # a `UNetAttention`, as `problems` made sure
        device = self.network.unet.device
        self.encoder = PromptEncoder(self.network.spec, device)
        if args.words:
            self.encoder.encode(args.words.text)
        else:
            self.captioner = Captioner(args.captioner or CAPTIONER, device)

    def __call__(self, image: pictures.Pixels) -> tuple[Result, Named]:
        """Segments and names ``(h, w, 3)`` uint8. Raises `NoNouns` if the caption has no noun."""
        from diffseg.labelling import cross_attention
        from diffseg.labelling.naming import merge, responses, vote

        prompt: Prompt = self.args.words or Prompt.of_caption(self.captioner(image))
        positions = [self.encoder.positions(prompt.text, spans) for spans in prompt.words.values()]
        square, spec = self.model.squares([image]), self.network.spec
        latents = self.network.encode(square)
        with cross_attention.collect(self.network.unet) as crossed:
            (maps,) = self.network.attend_encoded(latents, spec, self.encoder.encode(prompt.text))
        if self.args.unconditional:
            (maps,) = self.network.attend_encoded(latents, spec)
        result = self.recipe(image, square[0], maps)
        where = responses(crossed.maps[0], positions, spec.size).cpu().numpy()
        rule: Vote = self.args.vote or DEFAULT_VOTE
        named = merge(result.labels, tuple(prompt.words), vote(result.labels, where, rule))
        masks = "of the empty prompt" if self.args.unconditional else "of this prompt"
        return result, replace(named, info={"prompt": prompt.text, "vote": rule, "masks": masks})


def write(target: Path, photo: Path, image: pictures.Pixels, named: Named) -> pictures.Pixels:
    """Writes ``TARGET.named.png``, which it returns, and ``TARGET.named.json``, a COCO file.

    Each annotation gets ``segments``, the numbers of its parts in the label map. Raises OSError if a file cannot be
    written.
    """
    from diffseg.labelling.naming import draw

    drawn = draw(image, named)
    pictures.write_picture(f"{target}.named.png", drawn)
    content = coco([(photo.name, named.labels, named.names)])
    for annotation in content["annotations"]:
        annotation["segments"] = list(named.parts[annotation.pop("segment")])
    text = json.dumps(content | {"info": named.info}, indent=1, ensure_ascii=False)
    write_text(f"{target}.named.json", f"{text}\n")
    return drawn
