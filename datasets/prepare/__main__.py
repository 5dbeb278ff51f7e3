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
from datasets.prepare.download import ARCHIVES, SCHEMES, Source
from datasets.prepare.sets import prepare_bsds500, prepare_camvid, prepare_cityscapes, prepare_cocostuff
from diffseg.cli.arguments import Parser, path_argument
from diffseg.cli.command import ERROR_STATUS, interruptible, run_command

SOURCES_YAML: Final = Path(__file__).with_name("sources.yaml")

INCOMPLETE_STATUS = 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(prog="python -m datasets.prepare", description=__doc__.splitlines()[0])
    sets = parser.add_subparsers(dest="dataset", required=True)
    coco = sets.add_parser("cocostuff", help="download COCO-Stuff-27")
    cityscapes = sets.add_parser("cityscapes", help="unpack Cityscapes, which needs an account")
    camvid = sets.add_parser("camvid", help="download CamVid in SegNet's release")
    bsds = sets.add_parser("bsds500", help="download BSDS500 from its mirror on GitHub")
    for command in (coco, cityscapes, camvid, bsds):
        command.add_argument("--dir", type=path_argument, required=True, help="folder of the data set; made if missing")
        partial = "accept fewer pictures than the published number"
        command.add_argument("--allow-partial", action="store_true", help=partial)
    for command in (coco, camvid, bsds):
        names = f"take a file from another address; names are in {SOURCES_YAML.name}; may be repeated"
        command.add_argument("--source", type=_address, action="append", default=[], metavar="NAME=URL", help=names)
    labels = "png: the stuffthingmaps; json: COCO's instances and stuff annotations (default: %(default)s)"
    coco.add_argument("--labels", choices=("png", "json"), default="png", help=labels)
    zips = "downloaded files (default: those in DIR)"
    cityscapes.add_argument("--archives", type=path_argument, nargs="+", default=[], metavar="ZIP", help=zips)
    bsds.add_argument("--hierarchies", action="store_true", help="also unpack the hierarchies of gPb-owt-ucm")
    checksums = "accept the files of this list (path,sha256), not all 500"
    bsds.add_argument("--checksums", type=path_argument, metavar="CSV", help=checksums)
    return parser.parse_args(arguments)


def _address(text: str) -> tuple[str, str]:
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
            return _report(root, _prepare(options), options.allow_partial)
    except DatasetError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:  # a full disk, or a folder that cannot be written: the system's message
        print(f"error: {root}: {error}", file=sys.stderr)
    return ERROR_STATUS


def _prepare(options: argparse.Namespace) -> PairedDataset:
    entry = yaml.safe_load(SOURCES_YAML.read_text(encoding="utf-8"))[options.dataset]
    if options.dataset == "cityscapes":
        return prepare_cityscapes(options.dir, options.archives, entry["page"], entry["archives"])
    addresses = dict(options.source)
    if unknown := sorted(addresses.keys() - entry.keys()):
        raise DatasetError(f"--source {unknown[0]}: unknown source; known: {', '.join(entry)}")
    sources = {
        # The name of a file is that of its public address, wherever it comes from.
        name: Source(**{"name": name, "file": Path(keys["url"]).name, **keys, "url": addresses.get(name, keys["url"])})
        for name, keys in entry.items()
    }
    if options.dataset == "camvid":
        return prepare_camvid(options.dir, sources["archive"])
    if options.dataset == "bsds500":
        options.allow_partial |= options.checksums is not None
        return prepare_bsds500(options.dir, sources["archive"], options.hierarchies, options.checksums)
    return prepare_cocostuff(options.dir, options.labels, sources)


def _report(root: Path, dataset: PairedDataset, allow_partial: bool) -> int:
    """Prints how many pictures are there. Returns the exit status."""
    count, official = len(dataset.listed), dataset.official_count
    pictures = f"{root}: {count:,} of {official:,} pictures"
    if count != official and not allow_partial:
        print(
            f"error: {pictures}, so this is not the published evaluation; get complete archives, or accept this part "
            "of the data with --allow-partial (the tables show the count)",
            file=sys.stderr,
        )
        return INCOMPLETE_STATUS
    labels = f" dataset.labels={dataset.labels}" if isinstance(dataset, CocoStuff27) else ""
    evaluate = f"evaluate with {shlex.quote(f'dataset.root={root}')}{labels}"
    print(f"{pictures}, labels from {dataset.label_source}: ready; {evaluate}")
    if (root / ARCHIVES).is_dir():
        print(f"{root / ARCHIVES}: not read in an evaluation; delete it to free its space")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
