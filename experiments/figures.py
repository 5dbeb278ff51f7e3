"""Draws plots of results and the paper's figures: ``python -m experiments.figures [RESULTS ...] [-o OUT]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from datasets.base import DatasetError
from datasets.photos import PHOTO_FILES
from diffseg.backbones import WeightsError
from diffseg.cli.options import message_of
from diffseg.command import ERROR_STATUS, run_command
from diffseg.command_line import Parser, path_argument, positive_int
from diffseg.image_files import PhotoError
from diffseg.paths import NoHome
from eval.config import ConfigError
from eval.records import RecordError
from eval.runs import read_runs
from eval.storage.files import WriteError, make_folder
from experiments.paper.photographs import read_photographs
from experiments.paper.setups import BACKBONES, setups
from experiments.plotting.all_plots import all_plots
from experiments.plotting.saving import save
from experiments.plotting.shown import shown_rows

OUT = Path("results/figures")

DESCRIPTION = """\
Draws figures as PNG and PDF into OUT.

RESULTS are results folders of runs, whose rows are plotted.

The paper's figures (Tian et al., CVPR 2024) are drawn from photographs, not from
RESULTS.

  attention_maps       Fig. 2: attention of one location at each resolution
  aggregation_weights  Fig. 4: proportional weights, and each resolution alone
  examples             Fig. 5 to 9: overlay, input, segmentation
"""

EPILOG = """\
examples:
  python -m experiments.figures results/demo
  python -m experiments.figures results/sweep --only plots -o sweep
  python -m experiments.figures results/demo --to DBSCAN
  python -m experiments.figures --photo holiday.jpg --at 0.3,0.6
  python -m experiments.figures --backbone sd14 --path DIR

time: about 15 core-seconds a photograph with dinov2_small, 35 with sd14
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns 0, or 2 after one line about an error."""
    args = _parser().parse_args(argv)
    args.out = args.out or (args.results[0] / "figures" if len(args.results) == 1 else OUT)
    try:
        for option, given in {"--only plots": args.only == "plots", "--to": args.to}.items():
            if given and not args.results:
                raise ValueError(f"{option}: give RESULTS, the folders to plot")
        if args.results and args.only != "paper":
            _plot(args)
        if args.only != "plots":
            _draw_papers(args)
    except (ConfigError, DatasetError, NoHome, PhotoError, RecordError, ValueError, WeightsError, WriteError) as error:
        print(f"figures: {message_of(error)}", file=sys.stderr)
        return ERROR_STATUS
    return 0


def _plot(args: argparse.Namespace) -> None:
    """Draws the plots of results."""
    figures = all_plots(shown_rows(read_runs(*args.results)), args.to)
    if not figures:
        print("no plots: no picture was evaluated", file=sys.stderr)
        return
    _tell("plots", save(figures, args.out))


def _draw_papers(args: argparse.Namespace) -> None:
    """Draws the paper's figures."""
    chosen = setups(args.backbone, args.path, args.size)
    chosen[0].spec.check()
    photos = read_photographs(args.photo or list(PHOTO_FILES))
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
    parser = Parser(
        prog="figures",
        usage="python -m experiments.figures [RESULTS ...] [-o OUT] [options]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("results", nargs="*", type=path_argument, metavar="RESULTS", help="results_dir of a run")
    out = f"folder for the figures, made if missing; default: RESULTS/figures; {OUT} for several RESULTS or none"
    add("-o", "--out", type=path_argument, metavar="OUT", help=out)
    add("--only", choices=("plots", "paper"), help="only the plots of RESULTS, or only the paper's figures")
    to = "compare every row with this one, a name as in the plots and in table.md; default: the best row"
    add("--to", metavar="ROW", help=to)
    _add_paper(parser)
    return parser


def _add_paper(parser: argparse.ArgumentParser) -> None:
    sizes = [f"{setups(name, None, None)[0].spec.size} ({name})" for name in BACKBONES]
    paper = parser.add_argument_group("the paper's figures").add_argument
    paper("--paper-out", type=path_argument, metavar="DIR", help="folder for these figures; default: OUT")
    paper(
        "--photo",
        action="append",
        metavar="P",
        help="a file or a built-in photograph; may be repeated; Fig. 2 and 4 show the first; "
        f"default: {', '.join(PHOTO_FILES)}",
    )
    paper(
        "--at",
        type=_location,
        default=(0.5, 0.5),
        metavar="ROW,COL",
        help="location in Fig. 2, as fractions of the side from the top left; default: 0.5,0.5 (the centre)",
    )
    paper("--backbone", choices=BACKBONES, default=BACKBONES[0], help="default: %(default)s")
    paper("--path", metavar="DIR", help="folder or cached hub id of the weights; default: the backbone's")
    paper(
        "--size",
        type=positive_int,
        metavar="N",
        help=f"side of the backbone's input in pixels; default: {', '.join(sizes)}",
    )
    paper("--device", default="auto", help="auto, cpu, cuda, ...; default: %(default)s")


if __name__ == "__main__":
    sys.exit(run_command(main))
