"""``python -m experiments.figures [RESULTS ...] -o OUT``: plots of results, and the paper's figures, as PNG and PDF."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from datasets.base import DatasetError
from datasets.photos import SOURCES, Photos
from diffseg.backbones import MissingWeights
from diffseg.pictures import PhotoError, Picture, read_photo
from eval.files import WriteError, writing
from eval.progress import Progress
from experiments.paper_setups import BACKBONES, setups
from experiments.plots import all_plots
from experiments.results import ResultsError, read_results

USAGE_STATUS = 2
DPI = 200

DESCRIPTION = """\
Draws figures as PNG and PDF into OUT.

RESULTS are results folders, of single runs or of sweeps (-m): of their tables,
the plots of experiments.plots.

From photographs, the paper's figures (Tian et al., CVPR 2024):

  attention_maps       Fig. 2: one location's attention at each resolution
  aggregation_weights  Fig. 4: one resolution alone, or all in proportion
  examples             Fig. 5 to 9: overlay, input, segmentation
"""

EPILOG = """\
examples:
  python -m experiments.figures results/demo -o results/figures
  python -m experiments.figures results/sweep -o figures --only plots
  python -m experiments.figures -o figures --photo holiday.jpg --at 0.3,0.6
  python -m experiments.figures -o figures --backbone sd14 --path DIR

time: about 15 core-seconds a photograph with dinov2_small, 35 with sd14
"""


def save(figures: Mapping[str, Figure], out: Path) -> list[Path]:
    """Writes each figure as ``NAME.png`` and ``NAME.pdf``: the same figures, the same bytes.

    Raises:
        WriteError: a file cannot be written.
    """
    # Fonts as TrueType, which publishers ask for; no date, no version.
    unchanging = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
    paths = []
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"pdf.fonttype": 42}), Progress("drawing", len(figures)) as bar:
        for name, figure in figures.items():
            for kind, metadata in unchanging.items():
                paths.append(out / f"{name}.{kind}")
                with writing(paths[-1]):
                    figure.savefig(paths[-1], dpi=DPI, metadata=metadata, bbox_inches="tight", pad_inches=0.05)
            bar.advance(name)
    return paths


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line: 0, or 2 after one line that says what is wrong."""
    args = _parser().parse_args(argv)
    try:
        if args.only == "plots" and not args.results:
            raise ValueError("--only plots: give RESULTS, the folders to plot")
        paths: list[Path] = []
        if args.results and args.only != "paper":
            results = read_results(*args.results)
            for folder in results.unfinished:
                print(f"{folder}: has no tables yet, left out", file=sys.stderr)
            paths += save(all_plots(results), args.out)
        if args.only != "plots":
            chosen = setups(args.backbone, args.path, args.size)
            chosen[0].spec.check()
            photos = {Path(name).stem: read(name) for name in args.photo or SOURCES}
            from experiments.paper_figures import draw  # torch takes seconds: what is wrong has been said by now

            paths += save(draw(photos, chosen, args.at, args.device), args.out)
    except (ResultsError, PhotoError, DatasetError, MissingWeights, WriteError, ValueError) as error:
        print(f"figures: {error}", file=sys.stderr)
        return USAGE_STATUS
    print(f"{len(paths)} files in {args.out}: {', '.join(path.name for path in paths)}")
    return 0


def read(photo: str) -> Picture:
    """A photograph: the name of a built-in one, or a file.

    Raises:
        PhotoError: it is neither.
    """
    if photo in SOURCES:
        return Photos().load(photo).image
    if not Path(photo).is_file():
        raise PhotoError(f"--photo: {photo} is no file and none of {', '.join(SOURCES)}")
    return read_photo(photo)


def _location(text: str) -> tuple[float, float]:
    try:
        row, column = map(float, text.split(","))
        if 0 <= row < 1 and 0 <= column < 1:
            return row, column
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"must be ROW,COLUMN as fractions of the side, 0 to below 1, got {text}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="figures",
        usage="python -m experiments.figures [RESULTS ...] -o OUT [options]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "results",
        nargs="*",
        type=Path,
        metavar="RESULTS",
        help="results_dir of experiments.evaluate, with or without -m",
    )
    add("-o", "--out", type=Path, required=True, metavar="OUT", help="folder for the figures, made if missing")
    add("--only", choices=("plots", "paper"), help="only the plots of RESULTS, or only the paper's figures")
    paper = parser.add_argument_group("the paper's figures").add_argument
    paper(
        "--photo",
        action="append",
        metavar="P",
        help="a file, or one of the built-in photographs; may be repeated, the first is that of Fig. 2 and 4; "
        f"default: {', '.join(SOURCES)}",
    )
    paper(
        "--at",
        type=_location,
        default=(0.5, 0.5),
        metavar="ROW,COL",
        help="location of Fig. 2, fractions of the side from the top left; default: 0.5,0.5, the middle",
    )
    paper("--backbone", choices=BACKBONES, default=BACKBONES[0], help="default: %(default)s")
    paper("--path", metavar="DIR", help="folder, or hub id in the local cache, of its weights; default: its usual ones")
    paper("--size", type=int, metavar="N", help="side in pixels of its input; default: 896 (dinov2_small), 512 (sd14)")
    paper("--device", default="auto", help="auto, cpu, cuda, ...; default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
