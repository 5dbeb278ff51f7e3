"""Arguments of ``python -m diffseg``: the options, and the checks that need no torch."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill as wrapped
from typing import Any, get_args

import yaml

from diffseg import __version__, catalogue, parts
from diffseg.backbones import Backbone, WeightsError, tuned_values
from diffseg.choices import DEFAULT_SCHEME, DEFAULT_VOTE, DEFAULT_WEIGHTS, WEIGHTS, Scheme, Vote
from diffseg.cli.arguments import Parser, path_argument, positive_int
from diffseg.cli.inputs import SUFFIXES
from diffseg.labelling.captioning import CAPTIONER, Prompt
from diffseg.limits import settings_text

ROWS_A_SHEET = 6
WIDTH = 79  # columns of --help
DEFAULT_SEGMENTER = "diffseg"
OF_BACKBONE = "backbone."

NOT_FOR_PHOTOGRAPHS = {"backbone": {"saved"}, "segmenter": {"files", "kmeans_s", "oracle", "ucm"}}
"""Group -> presets that need files or the ground truth of a data set."""

OBLONG = 2
"""Largest ratio of the longer to the shorter side of a picture that is squeezed into a square without a warning."""

DESCRIPTION = f"""\
Segments photographs without training or labels, by default with DiffSeg (Tian
et al., CVPR 2024). For each photograph, the folder OUT gets

  NAME.labels.png    label map of the photograph's size: indexed PNG, the pixel
                     values are the segments' numbers, 0 for the largest
  NAME.overlay.png   the photograph under the colours of its segments
  NAME.named.png     with --label: the same with the names of the segments
  NAME.named.json    with --label: caption, and the mask of each name (COCO)

and contact_sheet.png (contact_sheet_2.png, ...) for every {ROWS_A_SHEET} photographs.
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


def _words(text: str) -> Prompt:
    try:
        return Prompt.of_words(text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _weights(text: str) -> str | tuple[float, ...]:
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        return text


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, got {text}")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise argparse.ArgumentTypeError(f"{name}: {value} is not a number, word or [list]") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None


def parser() -> argparse.ArgumentParser:
    """Builds the parser of all options."""
    parser = Parser(
        prog="diffseg",
        usage="python -m diffseg PHOTO [PHOTO ...] -o OUT [options]",
        description=DESCRIPTION,
        add_help=False,  # `parse` prints it, because it depends on the other options
    )
    add = parser.add_argument
    add("-h", "--help", action="store_true", help="show this text; with --segmenter NAME also its settings")
    add("--version", action="store_true", help="print the version and, in a checkout, the commit")
    photos = "a photograph; a folder of them; a pattern such as 'holiday/**/*.jpg'; - for standard input"
    add("photos", nargs="*", type=path_argument, metavar="PHOTO", help=photos)
    add("-o", "--out", type=path_argument, metavar="OUT", help="folder for the results, made if missing")
    json = (
        "write the masks there, or to standard output: one line per photograph, a JSON object with its segments as "
        "COCO annotations (compressed run lengths); -o may then be left out"
    )
    add("--json", nargs="?", const="-", metavar="FILE.json", help=json)
    add("--crop", action="store_true", help="keep only the centred square, as the benchmark does")
    add_model(parser)
    _add_method(parser)
    _add_names(parser)
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the arguments and checks them against each other.

    Raises SystemExit after one line (2), or after ``--help`` or ``--version`` (0).
    """
    options = parser()
    args = options.parse_args(argv)
    if args.help or args.version:
        try:
            print(_help(options, args) if args.help else version_line())
        except ValueError as error:
            options.error(str(error))
        options.exit()
    if args.json and args.json != "-" and not args.json.endswith((".json", ".jsonl")):
        photo = path_argument(args.json)  # --json PHOTO: the option's FILE was left out
        if photo.suffix.lower() not in {"", *SUFFIXES} and not photo.is_dir():
            options.error(f"argument --json: must be a .json or .jsonl file, got {photo}")
        args.photos.insert(0, photo)
        args.json = "-"
    missing = ["PHOTO"] * (not args.photos) + ["-o/--out (or --json)"] * (args.out is None and args.json is None)
    if missing:
        options.error(f"the following arguments are required: {', '.join(missing)}")
    args.label |= args.words is not None
    if args.label and args.out is None:
        options.error("argument --label: needs -o/--out")
    for name in ("vote", "unconditional", "captioner"):
        if getattr(args, name) and not args.label:
            options.error(f"argument --{name}: needs --label")
    return args


def version_line() -> str:
    """Version and, in a checkout, commit: ``diffseg 0.1.0, commit 8839ad7`` (``, changed`` if files differ from it)."""
    version, root = f"diffseg {__version__}", Path(__file__).parents[2]
    describe = ["git", "-C", str(root), "describe", "--always", "--exclude=*", "--dirty=, changed"]
    if not (root / ".git").exists():
        return version
    try:
        commit = subprocess.run(describe, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):  # git is missing, or fails
        return version
    return f"{version}, commit {commit}"


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose a backbone; `spec_of` reads them."""
    add = parser.add_argument_group("model").add_argument
    add("--backbone", default="dinov2_small", metavar="NAME", help="one of those listed below; default: %(default)s")
    add("--path", metavar="DIR", help="folder of its weights, or hub id in the local cache; default: the backbone's")
    size = "side in pixels of the square that enters the backbone"
    _add_setting(add, "--size", "backbone.size", positive_int, "N", size)
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...; default: auto, which is CUDA if there is one")
    folder = "your own backbones and segmenters: DIR/backbone/NAME.yaml, DIR/segmenter/NAME.yaml"
    add("--config-dir", type=path_argument, metavar="DIR", help=folder)


def spec_of(args: argparse.Namespace) -> Backbone:
    """The backbone that the options describe. Raises ValueError for an unknown name or a value out of range."""
    settings = {} if args.path is None else {"path": args.path}
    for name, value in args.settings or []:
        if name.startswith(OF_BACKBONE):
            settings[name.removeprefix(OF_BACKBONE)] = value
    return catalogue.choose("backbone", args.backbone, args.config_dir, settings)


def message_of(error: Exception) -> str:
    """The message of an error, with ``--path DIR`` if it advises another folder of weights."""
    return error.advising("--path DIR") if isinstance(error, WeightsError) else str(error)


def segmenter_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Settings of the segmenter in the options."""
    return {name: value for name, value in args.settings or [] if not name.startswith(OF_BACKBONE)}


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
    return [name for name in parts.names(group, args.config_dir) if name not in NOT_FOR_PHOTOGRAPHS[group]]


def _add_method(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("method").add_argument
    add("--segmenter", metavar="NAME", help=f"one of those listed below; default: {DEFAULT_SEGMENTER}")
    setting = "a setting of the segmenter, or backbone.NAME=VALUE for one of the backbone; may be repeated"
    add("--set", action="append", type=_setting, dest="settings", metavar="NAME=VALUE", help=setting)
    tau = "threshold: a larger one gives fewer segments; default: the value tuned for the backbone"
    _add_setting(add, "--tau", "tau", _number, "T", tau)
    _add_setting(add, "--anchors", "anchors", positive_int, "M", "for diffseg: number of anchors along one side")
    _add_setting(add, "--iterations", "iterations", positive_int, "N", "for diffseg: number of merging iterations")
    weights = f"weights of the sides: {', '.join(WEIGHTS)}, or numbers, the finest first: 1,0.5,0; default: %(default)s"
    add("--weights", type=_weights, default=DEFAULT_WEIGHTS, metavar="R", help=weights)
    add("--scheme", choices=get_args(Scheme), default=DEFAULT_SCHEME, help="aggregation scheme; default: %(default)s")


def _add_setting(
    add: Callable[..., object], option: str, name: str, read: Callable[[str], float], metavar: str, text: str
) -> None:
    """Adds an option that stands for ``--set NAME=VALUE``, with a number that ``read`` reads."""

    def setting(value: str) -> tuple[str, float]:
        return name, read(value)

    add(option, action="append", dest="settings", type=setting, metavar=metavar, help=text)


def _add_names(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("names (needs --backbone sd14, sd15 or sd21)").add_argument
    label = (
        "name each segment by a noun of the photograph's caption (paper, Section 5), and merge segments of the same "
        "name. The caption conditions the U-Net, so the segments differ from those without --label. Needs the package "
        "HanTa"
    )
    add("--label", action="store_true", help=label)
    words = '--label with your names instead of a caption, separated by commas: "cat,remote control"'
    add("--words", type=_words, metavar="W", help=words)
    vote = (
        "how a segment chooses its noun. majority: the noun that is best at most pixels; median: the median of the "
        "pixels' best nouns, numbered as in the caption; mean: the noun of the largest mean response; default: "
    )
    add("--vote", choices=get_args(Vote), help=f"{vote}{DEFAULT_VOTE}")
    add("--unconditional", action="store_true", help="name the segments found without --label (takes a second pass)")
    captioner = f"folder, or hub id in the local cache, of a BLIP captioning model; default: {CAPTIONER}"
    add("--captioner", metavar="DIR", help=captioner)
