"""Arguments of ``python -m diffseg``: the options, and the checks that need no torch."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from textwrap import fill as wrapped
from typing import Any, get_args

import yaml

from diffseg import catalogue, parts
from diffseg.backbones import Backbone, WeightsError, tuned_values
from diffseg.choices import DEFAULT_SCHEME, DEFAULT_VOTE, DEFAULT_WEIGHTS, WEIGHTS, Scheme, Vote
from diffseg.command_line import Parser, path_argument, positive_int
from diffseg.labelling.captioning import CAPTIONER, Prompt
from diffseg.limits import settings_text

ROWS_A_SHEET = 6
WIDTH = 79  # columns of --help
DEFAULT_SEGMENTER = "diffseg"
OF_BACKBONE = "backbone."

OBLONG = 2
"""Largest ratio of the longer to the shorter side of a picture that is squeezed into a square without a warning."""

DESCRIPTION = f"""\
Segments photographs without training or labels, by default with DiffSeg (Tian
et al., CVPR 2024): it merges the self-attention maps of a pretrained model
into segments. For each photograph, OUT gets

  NAME.labels.png    label map of the photograph's size: indexed PNG, the pixel
                     values are the segments' numbers, 0 for the largest
  NAME.overlay.png   the photograph under the colours of its segments

with --label also

  NAME.named.png     the photograph under the colours of the nouns, with names
  NAME.named.json    caption, and the mask of each noun (COCO run lengths)

and for all of them, {ROWS_A_SHEET} photographs per sheet,

  contact_sheet.png  photograph, overlay and segments side by side
                     (then contact_sheet_2.png, ...)

Photographs of the same name get a number (NAME_2). Existing files of these
names are replaced.
"""

EXAMPLES = """\
examples:
  python -m diffseg cat.jpg -o out
  python -m diffseg holiday/ -o out --tau 0.4         fewer, larger segments
  python -m diffseg 'holiday/**/*.jpg' -o out --segmenter ncut --set tau=0.7
  python -m diffseg cat.jpg -o out --weights finest   finest attention maps alone
  python -m diffseg cat.jpg --json > cat.json         masks as COCO run lengths
  curl URL | python -m diffseg - -o out               a photograph from a pipe
  python -m diffseg cat.jpg -o out --backbone sd14 --path DIR --device cuda
  python -m diffseg cat.jpg -o out --backbone sd14 --words "cat,sofa"

exit status: 0: all photographs are done. 1: some could not be read (or named),
the others are done. 2: wrong arguments, no weights, or OUT cannot be written.
"""


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


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, got {text}")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise argparse.ArgumentTypeError(f"{name}: {value} is not a number, word or [list]") from None


def parser() -> argparse.ArgumentParser:
    """Builds the parser of all options."""
    parser = Parser(
        prog="diffseg",
        usage="python -m diffseg PHOTO [PHOTO ...] -o OUT [options]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,  # `parse` prints it, because it depends on the other options
    )
    add = parser.add_argument
    add("-h", "--help", action="store_true", help="show this text; with --segmenter NAME also its settings")
    add(
        "photos",
        nargs="*",
        type=path_argument,
        metavar="PHOTO",
        help="a photograph; a folder of them; a pattern such as 'holiday/**/*.jpg'; - for standard input",
    )
    add("-o", "--out", type=path_argument, metavar="OUT", help="folder for the results, made if missing")
    add(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE.json",
        help="write the masks there, or to standard output: one line per photograph, a JSON object with its segments "
        "as COCO annotations (compressed run lengths); -o may then be left out",
    )
    add("--crop", action="store_true", help="keep only the centred square, as the benchmark does")
    add_model(parser)
    _add_method(parser)
    _add_names(parser)
    return parser


def parse(options: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the arguments and checks them against each other.

    Raises:
        SystemExit: after one line (2), or after ``--help`` (0).
    """
    args = options.parse_args(argv)
    if args.help:
        try:
            print(_help(options, args))
        except ValueError as error:
            options.error(str(error))
        options.exit()
    args.segmenter = args.segmenter or DEFAULT_SEGMENTER
    args.label |= args.words is not None
    if args.json and args.json != "-" and not args.json.endswith((".json", ".jsonl")):
        args.photos.insert(0, path_argument(args.json))  # --json PHOTO: the option's FILE was left out
        args.json = "-"
    missing = ["PHOTO"] * (not args.photos) + ["-o/--out (or --json)"] * (args.out is None and args.json is None)
    if missing:
        options.error(f"the following arguments are required: {', '.join(missing)}")
    if args.label and args.out is None:
        options.error("argument --label: needs -o/--out")
    return args


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose a backbone; `spec_of` reads them."""
    add = parser.add_argument_group("model").add_argument
    add("--backbone", default="dinov2_small", metavar="NAME", help="one of those listed below; default: %(default)s")
    add("--path", metavar="DIR", help="folder of its weights, or hub id in the local cache; default: the backbone's")
    add(
        "--size",
        type=positive_int,
        metavar="N",
        help="side in pixels of the square into which a photograph is squeezed; default: the backbone's",
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...; default: auto, which is CUDA if there is one")
    add(
        "--config-dir",
        type=path_argument,
        metavar="DIR",
        help="your own backbones and segmenters: DIR/backbone/NAME.yaml, DIR/segmenter/NAME.yaml",
    )


def spec_of(args: argparse.Namespace) -> Backbone:
    """The backbone that the options describe. Raises ValueError for an unknown name or a value out of range."""
    chosen = {key: getattr(args, key) for key in ("path", "size") if getattr(args, key) is not None}
    given = [(name.removeprefix(OF_BACKBONE), value) for name, value in _given(args) if name.startswith(OF_BACKBONE)]
    return catalogue.choose("backbone", args.backbone, args.config_dir, {**chosen, **dict(given)})


def message_of(error: Exception) -> str:
    """The message of an error, with ``--path DIR`` if it advises another folder of weights."""
    return error.advising("--path DIR") if isinstance(error, WeightsError) else str(error)


def segmenter_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Settings of the segmenter in the options."""
    named = {name: getattr(args, name) for name in ("tau", "anchors", "iterations") if getattr(args, name) is not None}
    return named | {name: value for name, value in _given(args) if not name.startswith(OF_BACKBONE)}


def _given(args: argparse.Namespace) -> list[tuple[str, Any]]:
    return getattr(args, "settings", None) or []


def _help(parser: argparse.ArgumentParser, args: argparse.Namespace) -> str:
    """Text of ``--help``: the options, the backbones and segmenters, and the settings of a segmenter that was given."""
    specs = [(name, parts.build(parts.read("backbone", name, args.config_dir))) for name in _names(args, "backbone")]
    taus = {name: tuned_values(spec, "diffseg").get("tau", "-") for name, spec in specs}
    backbones = [f"  {name:14}  {spec.size} px, tau {taus[name]}: {type(spec).__name__}" for name, spec in specs]
    segmenters = wrapped(", ".join(_names(args, "segmenter")), WIDTH, initial_indent="  ", subsequent_indent="  ")
    chapters = ["\n".join(["backbones:", *backbones]), "\n".join(["segmenters (--segmenter NAME --help):", segmenters])]
    if args.segmenter:
        kind = parts.kind_of(parts.read("segmenter", args.segmenter, args.config_dir))
        summary = str(kind.__doc__).partition("\n")[0]
        chapters.append("\n".join([f"{args.segmenter}: {summary}", *settings_text(kind)]))
    parser.epilog = "\n\n".join([*chapters, EXAMPLES])
    return parser.format_help()


def _names(args: argparse.Namespace, group: parts.Group) -> list[str]:
    return [name for name in parts.names(group, args.config_dir) if name != "saved"]  # has no attention of photographs


def _add_method(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("method").add_argument
    add("--segmenter", metavar="NAME", help=f"one of those listed below; default: {DEFAULT_SEGMENTER}")
    add(
        "--set",
        action="append",
        type=_setting,
        dest="settings",
        metavar="NAME=VALUE",
        help="a setting of the segmenter, or backbone.NAME=VALUE for one of the backbone; may be repeated",
    )
    add(
        "--tau",
        type=_tau,
        metavar="T",
        help="threshold of the segmenter. diffseg merges attention maps that differ by less than T, so a larger T "
        "gives fewer segments; default: the value tuned for the backbone",
    )
    add("--anchors", type=positive_int, metavar="M", help="for diffseg: number of anchors along one side")
    add("--iterations", type=positive_int, metavar="N", help="for diffseg: number of merging iterations")
    add(
        "--weights",
        type=_weights,
        default=DEFAULT_WEIGHTS,
        metavar="R",
        help=f"weights of the resolutions: {', '.join(WEIGHTS)}, or numbers, the finest first, such as 1,0.5,0; "
        "default: %(default)s",
    )
    add("--scheme", choices=get_args(Scheme), default=DEFAULT_SCHEME, help="aggregation scheme; default: %(default)s")


def _add_names(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group(
        "names (needs --backbone sd14, sd15 or sd21; captions need the package HanTa)"
    ).add_argument
    add(
        "--label",
        action="store_true",
        help="name each segment by a noun of the photograph's caption, and merge segments of the same name (paper, "
        "Section 5). The caption conditions the U-Net, so the segments differ from those without --label",
    )
    add(
        "--words",
        type=_words,
        metavar="W",
        help='--label with your names instead of a caption, separated by commas: "cat,remote control"',
    )
    add(
        "--vote",
        choices=get_args(Vote),
        default=DEFAULT_VOTE,
        help="how a segment chooses its noun. majority: the noun that is best at most pixels; median: the median of "
        "the pixels' best nouns, numbered as in the caption; mean: the noun of the largest mean response; default: "
        "%(default)s",
    )
    add("--unconditional", action="store_true", help="name the segments found without --label (takes a second pass)")
    add(
        "--captioner",
        default=CAPTIONER,
        metavar="DIR",
        help="folder, or hub id in the local cache, of a BLIP captioning model; default: %(default)s",
    )
