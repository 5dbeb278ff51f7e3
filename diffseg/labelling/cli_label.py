"""``python -m diffseg --label``: one picture from words to named segments, and the files that hold them."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from diffseg import pictures
from diffseg.backbones import Backbone, WeightsError
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.labelling.captioning import CAPTIONER, Captioner, Prompt, locate_captioner

if TYPE_CHECKING:
    from torch import Tensor

    from diffseg.attention import AttentionMaps
    from diffseg.labelling.naming import Named

DEFAULTS = {"vote": "majority", "unconditional": False, "captioner": CAPTIONER}


def problems(args: argparse.Namespace, spec: Backbone) -> list[str]:
    """What keeps names from being given, without importing torch.

    An option that needs another one, a backbone without words, packages that are not installed, and a captioner that
    is not on this machine: a line each.
    """
    if not args.label:
        given = [f"--{name}" for name, value in DEFAULTS.items() if getattr(args, name) != value]
        return [f"argument {name}: needs --label" for name in given]
    found = []
    if not isinstance(spec, StableDiffusion):
        found.append(f"argument --label: {args.backbone} attends to no words, give --backbone sd14")
    for package in ("pycocotools", *(() if args.words else ("HanTa",))):
        if find_spec(package) is None:
            found.append(f"argument --label: needs the package {package}: pip install {package}")
    if not args.words:
        try:
            locate_captioner(args.captioner)
        except WeightsError as error:
            found.append(str(error))
    return found


class Segmenter(Protocol):
    """What `diffseg.cli` has loaded already."""

    model: Any  # `UNetAttention`, as `check` made sure

    def tensor(self, image: pictures.Picture) -> Tensor:
        """``(1, 3, P, P)`` for the backbone."""
        ...

    def labels(self, maps: AttentionMaps, image: pictures.Picture) -> pictures.Labels:
        """``(h, w)`` segments of the image, the largest first."""
        ...


@dataclass(frozen=True)
class Result:
    """What `Labeller` gives of a picture.

    Attributes:
        segments: ``(h, w)``, the largest first, before those of one name are merged.
        named: the merged ones.
        settings: prompt, vote and masks, for the JSON.
    """

    segments: pictures.Labels
    named: Named
    settings: dict[str, str]


class Labeller:
    """Segments pictures and names the segments."""

    def __init__(self, segmenter: Segmenter, args: argparse.Namespace) -> None:
        """Loads text encoder and captioner. Raises ValueError for words too many for a prompt, or broken weights."""
        from diffseg.labelling.cross_attention import PromptEncoder

        self.segmenter, self.model = segmenter, segmenter.model
        self.vote, self.unconditional = args.vote, args.unconditional
        device = self.model.unet.device
        self.encoder = PromptEncoder(self.model.spec, device)
        self.words: Prompt | None = args.words
        if self.words:
            self.encoder.encode(self.words.text)
        else:
            self.captioner = Captioner(args.captioner, device)

    def __call__(self, image: pictures.Picture) -> Result:
        """Segments and names ``(h, w, 3)`` uint8. Raises `NoNouns` where the caption has none."""
        from diffseg.labelling import cross_attention
        from diffseg.labelling.naming import merge, responses, vote

        prompt = self.words or Prompt.of_caption(self.captioner(image))
        positions = [self.encoder.positions(prompt.text, spans) for spans in prompt.words.values()]
        latents, spec = self.model.encode(self.segmenter.tensor(image)), self.model.spec
        with cross_attention.collect(self.model.unet) as crossed:
            (maps,) = self.model.attend_encoded(latents, spec, self.encoder.encode(prompt.text))
        if self.unconditional:
            (maps,) = self.model.attend_encoded(latents, spec)
        segments = self.segmenter.labels(maps, image)
        where = responses(crossed.maps[0], positions, spec.size).cpu().numpy()
        named = merge(segments, tuple(prompt.words), vote(segments, where, self.vote))
        masks = "of the empty prompt" if self.unconditional else "of this prompt"
        return Result(segments, named, {"prompt": prompt.text, "vote": self.vote, "masks": masks})


def write(target: Path, image: pictures.Picture, result: Result) -> pictures.Picture:
    """Writes ``TARGET.named.png``, which it returns, and ``TARGET.named.json``. Raises OSError when that fails."""
    from diffseg.labelling.named_pictures import coco_segments, draw

    drawn = draw(image, result.named)
    pictures.write_picture(f"{target}.named.png", drawn)
    content = {**result.settings, "segments": coco_segments(result.named)}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    complete = target.with_name(f".{target.name}.named.json.tmp")  # replaced in one step, as the pictures are
    complete.write_text(f"{text}\n", encoding="utf-8")
    complete.replace(f"{target}.named.json")
    return drawn
