"""Brings a data set into the layout that its module reads, and checks that it is complete.

    python -m datasets.prepare cocostuff --dir DIR
    python -m datasets.prepare cityscapes --dir DIR --archives leftImg8bit_trainvaltest.zip gtFine_trainvaltest.zip
    python -m datasets.prepare camvid --dir DIR
    python -m datasets.prepare bsds500 --dir DIR --hierarchies

Run it again to resume; complete data are only checked. Archives in DIR/archives (Cityscapes: in DIR) are used instead
of a download. Exit status: 0 ready; 1 incomplete; 2 an error, reported in one line on stderr.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from datasets.base import DatasetError
from datasets.cocostuff27 import CocoStuff27
from datasets.paired import PairedDataset
from datasets.prepare.bsds500 import prepare_bsds500
from datasets.prepare.camvid import prepare_camvid
from datasets.prepare.cityscapes import prepare_cityscapes
from datasets.prepare.cocostuff import prepare_cocostuff
from datasets.prepare.download import SCHEMES
from datasets.prepare.sources import ARCHIVES, sources_of
from diffseg.command import ERROR_STATUS, interruptible, run_command
from diffseg.command_line import Parser, path_argument

SOURCES_YAML: Final = Path(__file__).with_name("sources.yaml")

INCOMPLETE_STATUS = 1


def report(root: Path, dataset: PairedDataset, allow_partial: bool) -> int:
    """Prints how many pictures are there. Returns the exit status."""
    count, official = len(dataset.listed), dataset.official_count
    found = f"{root}: {count:,} of {official:,} pictures" if official else f"{root}: {count:,} pictures"
    if count != official and not allow_partial:
        print(
            f"error: {found}, so this is not the published evaluation; get complete archives, or accept this part of "
            "the data with --allow-partial (the tables show the count)",
            file=sys.stderr,
        )
        return INCOMPLETE_STATUS
    labels = f" dataset.labels={dataset.labels}" if isinstance(dataset, CocoStuff27) else ""
    given = shlex.quote(f"dataset.root={root}")
    print(f"{found}, labels from {dataset.label_source}: ready; evaluate with {given}{labels}")
    if (root / ARCHIVES).is_dir():
        print(f"{root / ARCHIVES}: not read in an evaluation; delete it to free its space")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(prog="python -m datasets.prepare", description=__doc__.splitlines()[0])
    common = Parser(add_help=False)
    common.add_argument("--dir", type=path_argument, required=True, help="folder of the data set; made if missing")
    common.add_argument("--allow-partial", action="store_true", help="accept fewer pictures than the published number")
    download = Parser(add_help=False)
    download.add_argument(
        "--source",
        type=_override,
        action="append",
        default=[],
        metavar="NAME=URL",
        help=f"take a file from another address; names are in {SOURCES_YAML.name}; may be repeated",
    )
    sets = parser.add_subparsers(dest="dataset", required=True)
    coco = sets.add_parser("cocostuff", parents=[common, download], help="download COCO-Stuff-27")
    coco.add_argument(
        "--labels",
        choices=("png", "json"),
        default="png",
        help="png: the stuffthingmaps; json: COCO's instances and stuff annotations (default: %(default)s)",
    )
    cityscapes = sets.add_parser("cityscapes", parents=[common], help="unpack Cityscapes, which needs an account")
    cityscapes.add_argument(
        "--archives",
        type=path_argument,
        nargs="+",
        default=[],
        metavar="ZIP",
        help="downloaded files (default: those in DIR)",
    )
    sets.add_parser("camvid", parents=[common, download], help="download CamVid in SegNet's release")
    bsds = sets.add_parser("bsds500", parents=[common, download], help="download BSDS500 from its mirror on GitHub")
    bsds.add_argument("--hierarchies", action="store_true", help="also unpack the hierarchies of gPb-owt-ucm")
    bsds.add_argument(
        "--checksums",
        type=path_argument,
        metavar="CSV",
        help="accept the files of this list (path,bytes,sha256), not all 500",
    )
    return parser.parse_args(arguments)


def _override(text: str) -> tuple[str, str]:
    name, _, url = text.partition("=")
    if not url.startswith(SCHEMES):
        raise argparse.ArgumentTypeError(f"must be NAME=URL, where URL begins with {' or '.join(SCHEMES)}, got {text}")
    return name, url


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status."""
    options = parse(arguments)
    root = options.dir
    try:
        with interruptible("run again to resume"):
            return report(root, _prepare(options), options.allow_partial)
    except DatasetError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:  # a full disk, or a folder that cannot be written: the system's message
        print(f"error: {root}: {error}", file=sys.stderr)
    return ERROR_STATUS


def _prepare(options: argparse.Namespace) -> PairedDataset:
    entry = yaml.safe_load(SOURCES_YAML.read_text(encoding="utf-8"))[options.dataset]
    if options.dataset == "cityscapes":
        return prepare_cityscapes(options.dir, options.archives, entry["page"], entry["archives"])
    sources = sources_of(entry, dict(options.source))
    if options.dataset == "camvid":
        return prepare_camvid(options.dir, sources["archive"])
    if options.dataset == "bsds500":
        options.allow_partial |= options.checksums is not None
        return prepare_bsds500(options.dir, sources["archive"], options.hierarchies, options.checksums)
    return prepare_cocostuff(options.dir, options.labels, sources)


if __name__ == "__main__":
    sys.exit(run_command(main))
