"""The arguments of ``python -m diffseg``: what there is to choose, and the checks that need neither files nor torch."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import NoReturn

from diffseg.backbones import Backbone
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.vit import ViT
from diffseg.labelling.captioning import CAPTIONER, Prompt
from diffseg.paths import NoHome, expanded

BACKBONES: dict[str, type[ViT] | type[StableDiffusion]] = {"dinov2_small": ViT, "sd14": StableDiffusion}
# As in `diffseg.aggregation` and `diffseg.labelling.naming`, which import torch.
WEIGHTS = ("proportional", "finest", "half", "quarter", "eighth")
SCHEMES = ("official", "paper", "paper_normalised")
VOTES = ("majority", "median", "mean")

ROWS_A_SHEET = 6

DESCRIPTION = f"""\
Segments photographs without training or labels: DiffSeg (Tian et al., CVPR
2024) merges the self-attention maps of a pretrained model into segments.
For each photograph, OUT gets

  NAME.labels.png    label map of the photograph's size: indexed PNG, the pixel
                     values are the segments' numbers, 0 for the largest
  NAME.overlay.png   the photograph under the colours of its segments

with --label also

  NAME.named.png     the photograph under the colours of the nouns, with names
  NAME.named.json    caption, and the mask of each noun (COCO run lengths)

and for all of them, {ROWS_A_SHEET} photographs a sheet,

  contact_sheet.png  photograph, overlay and segments side by side
                     (then contact_sheet_2.png, ...)

Photographs of the same name are told apart by a number (NAME_2). Files of
these names that are there already are replaced.
"""

EPILOG = """\
examples:
  python -m diffseg cat.jpg -o out
  python -m diffseg holiday/ -o out --tau 0.4         fewer, larger segments
  python -m diffseg cat.jpg -o out --weights finest   finest attention maps alone
  python -m diffseg cat.jpg -o out --backbone sd14 --path DIR --device cuda
  python -m diffseg cat.jpg -o out --backbone sd14 --words "cat,sofa"

exit status: 0 all done; 1 some photographs could not be read (or named), the
others are done; 2 wrong arguments or no weights
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help shows all options)\n")


def positive_int(text: str) -> int:
    """An argument's number. Raises ArgumentTypeError unless it is whole and at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1, got {text}")
    return int(text)


def path_argument(text: str) -> Path:
    """An argument's path, ``~`` expanded. Raises ArgumentTypeError when it is empty, or the home folder is unknown."""
    if not text:  # else it would be the folder in which the user works
        raise argparse.ArgumentTypeError("is empty; give a path")
    try:
        return expanded(text)
    except NoHome as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _tau(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text}")
    return value


def _weights(text: str) -> str | tuple[float, ...]:
    if text in WEIGHTS:
        return text
    try:
        numbers = tuple(map(float, text.split(",")))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 <= number < math.inf for number in numbers) or not any(numbers):
        allowed = ", ".join(WEIGHTS)
        raise argparse.ArgumentTypeError(
            f"must be {allowed}, or numbers of at least 0 with commas between, not all 0, got {text}"
        )
    return numbers


def _words(text: str) -> Prompt:
    try:
        return Prompt.of_words(text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def tau_of(spec: Backbone) -> float:
    """The threshold that suits this backbone."""
    return spec.tuned["diffseg"]["tau"]["default"]


def parser() -> argparse.ArgumentParser:
    """All options, with their defaults."""
    parser = Parser(
        prog="diffseg",
        usage="python -m diffseg PHOTO [PHOTO ...] -o OUT [options]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("photos", nargs="+", type=path_argument, metavar="PHOTO", help="a photograph, or a folder of them")
    add("-o", "--out", type=path_argument, required=True, metavar="OUT", help="folder for the results, made if missing")
    add("--crop", action="store_true", help="keep only the centred square, as in the benchmark; default: the whole")
    add_model(parser)
    _add_method(parser)
    _add_names(parser)
    return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    """The options that choose a backbone; `spec_of` reads them."""
    sizes = ", ".join(f"{backbone().size} ({name})" for name, backbone in BACKBONES.items())
    add = parser.add_argument_group("model").add_argument
    add("--backbone", choices=BACKBONES, default="dinov2_small", help="default: %(default)s")
    add("--path", metavar="DIR", help="folder, or hub id in the local cache, of its weights; default: its usual ones")
    add(
        "--size",
        type=positive_int,
        metavar="N",
        help="side in pixels of the square into which a photograph is squeezed for the backbone; for sd14 a multiple "
        f"of 64; default: {sizes}",
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...; default: auto, which is CUDA if there is one")


def spec_of(args: argparse.Namespace) -> Backbone:
    """The backbone that the options of `add_model` describe. Raises ValueError for a value out of range."""
    chosen = {key: getattr(args, key) for key in ("path", "size") if getattr(args, key) is not None}
    return BACKBONES[args.backbone](**chosen)


def _add_method(parser: argparse.ArgumentParser) -> None:
    taus = ", ".join(f"{tau_of(backbone())} ({name})" for name, backbone in BACKBONES.items())
    add = parser.add_argument_group("method").add_argument
    add(
        "--tau",
        type=_tau,
        metavar="T",
        help=f"attention maps that differ by less are merged: the larger, the fewer segments; default: {taus}",
    )
    add("--anchors", type=positive_int, default=16, metavar="M", help="anchors along one side; default: %(default)s")
    add("--iterations", type=positive_int, default=3, metavar="N", help="of the merging; default: %(default)s")
    add(
        "--weights",
        type=_weights,
        default="proportional",
        metavar="R",
        help=f"of the resolutions: {', '.join(WEIGHTS)} or numbers, the finest first, such as 1,0.5,0; "
        "default: %(default)s",
    )
    add("--scheme", choices=SCHEMES, default="official", help="of the aggregation; default: %(default)s")


def _add_names(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("names (needs a Stable Diffusion; captions need the package HanTa)").add_argument
    add(
        "--label",
        action="store_true",
        help="name each segment by a noun of the photograph's caption and merge those of one name (paper, Section 5). "
        "The caption conditions the pass of the U-Net, so the segments are other ones than without --label",
    )
    add(
        "--words",
        type=_words,
        metavar="W",
        help='--label with your own names instead of a caption, with commas between: "cat,remote control"',
    )
    add(
        "--vote",
        choices=VOTES,
        default="majority",
        help="how a segment chooses: the noun that is best at most pixels; the median of the pixels' best nouns, "
        "numbered as in the caption; the noun of the largest mean response; default: %(default)s",
    )
    add("--unconditional", action="store_true", help="name the segments that there are without --label (a second pass)")
    add(
        "--captioner",
        default=CAPTIONER,
        metavar="DIR",
        help="folder, or hub id in the local cache, of a BLIP captioning model; default: %(default)s",
    )
