"""Draws plots of results and the paper's figures: ``python -m experiments.figures [RESULTS ...] [-o OUT]``.

RESULTS are results folders of runs, whose rows are plotted. The paper's figures (Tian et al., CVPR 2024) are drawn from
photographs, not from RESULTS: attention_maps (Fig. 2: attention of one location at each resolution),
aggregation_weights (Fig. 4: proportional weights, and each resolution alone) and examples (Fig. 5 to 9: overlay, input,
segmentation). All are written to OUT as PNG and PDF.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datasets.base import DatasetError
from datasets.photos import PHOTO_FILES, Photos
from diffseg import parts
from diffseg.backbones import Backbone, WeightsError, tuned_values
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.vit import ViT
from diffseg.cli.arguments import Parser, path_argument, positive_int
from diffseg.cli.command import ERROR_STATUS, run_command
from diffseg.cli.options import message_of
from diffseg.files.images import PhotoError
from diffseg.files.paths import NoHome, expanded
from diffseg.files.photographs import read_photo
from diffseg.files.writing import distinct_names
from diffseg.pictures import Pixels
from eval.config import ConfigError
from eval.records import RecordError
from eval.runs import read_runs
from eval.storage.files import WriteError, make_folder
from experiments.plotting.drawing import save
from experiments.plotting.plots import all_plots
from experiments.plotting.shown import shown_rows

OUT = Path("results/figures")
BACKBONES = ("dinov2_small", "sd14")
FIG4_TIMESTEP, FIG4_TAU = 100, 1.0  # Section 4.2 of the paper
EPILOG = """\
examples:
  python -m experiments.figures results/demo
  python -m experiments.figures results/sweep --only plots -o sweep
  python -m experiments.figures results/demo --to DBSCAN
  python -m experiments.figures --photo holiday.jpg --at 0.3,0.6
  python -m experiments.figures --backbone sd14 --path DIR

time: about 15 core-seconds a photograph with dinov2_small, 35 with sd14
"""


@dataclass(frozen=True)
class Setup:
    """A backbone, the threshold tau (nats) for its attention, and the title of its figures."""

    spec: Backbone
    tau: float
    title: str


def setups(backbone: str, path: str | None, size: int | None) -> tuple[Setup, Setup]:
    """The setup of Fig. 2 and 5 to 9, and that of Fig. 4, which the paper makes with another time step and threshold.

    A ViT gets inputs of four sizes, so that it has four resolutions, like Stable Diffusion. Both setups use its tau.

    Raises:
        ValueError: ``size`` does not fit the backbone.
    """
    given = {key: value for key, value in (("path", path), ("size", size)) if value}
    if backbone == "sd14":
        usual: StableDiffusion = parts.choose("backbone", "sd14", None, given)
        early = replace(usual, timestep=FIG4_TIMESTEP)
        first, second = (
            Setup(spec, tau, f"Stable Diffusion, {spec.size} px, t = {spec.timestep}, τ = {tau}")
            for spec, tau in ((usual, tuned_values(usual, "diffseg")["tau"]), (early, FIG4_TAU))
        )
        return first, second
    whole: ViT = parts.choose("backbone", "dinov2_small", None, {"size": 2 * ViT.size, **given})
    finest = whole.sides[0]
    spec = replace(whole, sides=tuple(finest // step for step in (1, 2, 4, 8) if finest % step == 0))
    tau = tuned_values(spec, "diffseg")["tau"]
    title = f"DINOv2 ViT-S/14, {spec.size} px, τ = {tau}"
    paper = f"(the paper's figure: Stable Diffusion, t = {FIG4_TIMESTEP}, M = 16, N = 3, τ = {FIG4_TAU})"
    return Setup(spec, tau, title), Setup(spec, tau, f"{title}\n{paper}")


def _photograph(name: str) -> Pixels:
    """A built-in photograph or a file, ``(h, w, 3)`` uint8. Raises PhotoError."""
    if name in PHOTO_FILES:
        return Photos().load(name).image
    path = expanded(name)
    if not path.is_file():
        raise PhotoError(f"--photo: {name} is no file and none of {', '.join(PHOTO_FILES)}")
    return read_photo(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns 0, or 2 after one line about an error."""
    args = _parser().parse_args(argv)
    args.out = args.out or (args.results[0] / "figures" if len(args.results) == 1 else OUT)
    try:
        for option, given in {"--only plots": args.only == "plots", "--to": args.to}.items():
            if given and not args.results:
                raise ValueError(f"{option}: give RESULTS, the folders to plot")
        if args.results and args.only != "paper":
            if figures := all_plots(shown_rows(read_runs(*args.results)), args.to):
                _tell("plots", save(figures, args.out))
            else:
                print("no plots: no picture was evaluated", file=sys.stderr)
        if args.only != "plots":
            _draw_papers(args)
    except (ConfigError, DatasetError, NoHome, PhotoError, RecordError, ValueError, WeightsError, WriteError) as error:
        print(f"figures: {message_of(error)}", file=sys.stderr)
        return ERROR_STATUS
    return 0


def _draw_papers(args: argparse.Namespace) -> None:
    """Draws the paper's figures."""
    chosen = setups(args.backbone, args.path, args.size)
    chosen[0].spec.check()
    names = args.photo or list(PHOTO_FILES)
    photos = dict(zip(distinct_names(Path(name).stem for name in names), map(_photograph, names), strict=True))
    out = args.paper_out or args.out
    make_folder(out)  # fails before minutes of drawing
    # Imports torch, which takes seconds. Wrong arguments and missing weights have been reported before.
    from experiments.paper.figures import draw

    _tell("the paper's figures", save(draw(photos, chosen, args.at, args.device), out))


def _tell(what: str, paths: Sequence[Path]) -> None:
    names = ", ".join(dict.fromkeys(path.stem for path in paths))
    print(f"{len(paths)} files in {paths[0].parent}, {what} as PNG and PDF: {names}", flush=True)


def _location(text: str) -> tuple[float, float]:
    try:
        row, column = map(float, text.split(","))
        if 0 <= row < 1 and 0 <= column < 1:
            return row, column
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"must be ROW,COLUMN as fractions of the side, 0 to below 1, got {text}")


def _parser() -> argparse.ArgumentParser:
    usage = "python -m experiments.figures [RESULTS ...] [-o OUT] [options]"
    parser = Parser(prog="figures", usage=usage, description=__doc__, epilog=EPILOG)
    add = parser.add_argument
    add("results", nargs="*", type=path_argument, metavar="RESULTS", help="results_dir of a run")
    out = f"folder for the figures, made if missing; default: RESULTS/figures; {OUT} for several RESULTS or none"
    add("-o", "--out", type=path_argument, metavar="OUT", help=out)
    add("--only", choices=("plots", "paper"), help="only the plots of RESULTS, or only the paper's figures")
    to = "compare every row with this one, a name as in the plots and in table.md; default: the best row"
    add("--to", metavar="ROW", help=to)
    paper = parser.add_argument_group("the paper's figures").add_argument
    paper("--paper-out", type=path_argument, metavar="DIR", help="folder for these figures; default: OUT")
    photo = "a file or a built-in photograph; may be repeated; Fig. 2 and 4 show the first; default: "
    paper("--photo", action="append", metavar="P", help=photo + ", ".join(PHOTO_FILES))
    at = "location in Fig. 2, as fractions of the side from the top left; default: 0.5,0.5 (the centre)"
    paper("--at", type=_location, default=(0.5, 0.5), metavar="ROW,COL", help=at)
    paper("--backbone", choices=BACKBONES, default=BACKBONES[0], help="default: %(default)s")
    paper("--path", metavar="DIR", help="folder or cached hub id of the weights; default: the backbone's")
    size = "side of the backbone's input in pixels; default: twice that of dinov2_small, that of sd14"
    paper("--size", type=positive_int, metavar="N", help=size)
    paper("--device", default="auto", help="auto, cpu, cuda, ...; default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
