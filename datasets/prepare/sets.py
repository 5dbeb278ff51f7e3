"""Downloads or unpacks each data set into the layout that its module reads."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeVar

from tqdm import tqdm

from datasets import bsds500, camvid
from datasets.base import DatasetError
from datasets.bsds500 import Bsds500
from datasets.camvid import Camvid
from datasets.cityscapes27 import IMAGE_SUFFIX, INSTANCE_SUFFIX, LABEL_SUFFIX, Cityscapes27
from datasets.coco import SPLIT
from datasets.cocostuff27 import OFFICIAL_LIST, CocoStuff27
from datasets.files import find_files
from datasets.listing import read_ids
from datasets.paired import PairedDataset
from datasets.prepare.download import ARCHIVES, GB, Source, announce, obtain
from datasets.prepare.unpack import leads_out, unpack
from diffseg.files.writing import sha256_of

CAMVID: Final = Path(__file__).with_name("camvid.sha256")
BSDS500: Final = Path(__file__).with_name("bsds500.csv")
HIERARCHIES: Final = "BSDS500/ucm2/"

# Largest sizes of the unpacked files, in bytes.
LISTED_MOST: Final = 300 * 10**6  # 187 MB
CITYSCAPES_MOST: Final = 4 * GB  # 500 pictures of 6.3 MB at most, uncompressed
COCO_MOST: Final = 3 * GB

AnyPaired = TypeVar("AnyPaired", bound=PairedDataset)


def prepare_camvid(root: Path, archive: Source) -> Camvid:
    """Downloads CamVid in SegNet's release, and unpacks its folder ``CamVid/``. See `_prepare_listed`."""
    lines = (line.split(maxsplit=1) for line in CAMVID.read_text(encoding="utf-8").splitlines())
    folders = [f"CamVid/{split}" for split in camvid.COUNTS]
    _prepare_listed(root, archive, {path: sha256 for sha256, path in lines}, folders)
    return Camvid(root=str(root))


def prepare_bsds500(root: Path, archive: Source, hierarchies: bool = False, checksums: Path | None = None) -> Bsds500:
    """Downloads BSDS500 from its mirror on GitHub. See `_prepare_listed`.

    ``hierarchies`` also unpacks the hierarchies of gPb-owt-ucm, and the authors' scores of them. ``checksums`` is a CSV
    file with the path and sha256 of each file; None: all files of the mirror.
    """
    listed = _read_checksums(checksums or BSDS500)
    needed = {path: sha256 for path, sha256 in listed.items() if hierarchies or not path.startswith(HIERARCHIES)}
    _prepare_listed(root, archive, needed, [f"BSDS500/data/images/{split}" for split in bsds500.COUNTS])
    return Bsds500(root=str(root))


def _read_checksums(path: Path) -> dict[str, str]:
    """Path below the folder of the data set -> sha256 (hex). Raises `DatasetError`, which names the CSV file."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(row["path"] or "", row["sha256"] or "") for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise DatasetError(f"{path}: not a CSV file with path and sha256 of each file") from error
    if not rows:
        raise DatasetError(f"{path}: lists no file; give the path and sha256 of each file")
    for name, sha256 in rows:
        if leads_out(name):
            raise DatasetError(f"{path}: the path {name!r} in it must be relative, with / and without ..")
        if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
            raise DatasetError(f"{path}: the sha256 of {name!r} in it must be 64 hex digits, got {sha256!r}")
    return {name: sha256.lower() for name, sha256 in rows}


def _prepare_listed(root: Path, archive: Source, checksums: Mapping[str, str], folders: Iterable[str]) -> None:
    """Downloads and unpacks the files of a list, unless they exist, and checks them. Makes the folder ``root``.

    GitHub packs its archives anew for each download, without a stable checksum, and cannot resume. So a broken download
    starts again, and the unpacked files are checked. The archive stays in ``root/archives``; the only zip file that
    lies there already is used instead.

    ``checksums`` maps a path below ``root``, and in the archive below one folder, to its sha256 (hex). ``folders`` are
    those of the pictures of all splits. Raises `DatasetError` if the archive is no complete one, a file is damaged, or
    a folder holds pictures outside the list.
    """
    path = root / ARCHIVES / archive.file
    others = list(path.parent.glob("*.zip"))
    if len(others) == 1:
        path = others[0]
    if not all((root / name).is_file() for name in checksums):
        if not path.is_file():
            announce(root, [archive])
        obtain(archive, path)
        unpack(path, re.compile(rf"(?:[^/]+/)?({'|'.join(map(re.escape, checksums))})"), root, LISTED_MOST)
    if missing := [name for name in checksums if not (root / name).is_file()]:
        raise DatasetError(
            f"{root / missing[0]}: the file is missing, and not in {path.name} ({len(missing):,} of "
            f"{len(checksums):,} files are missing); delete that archive and run again"
        )
    for name, sha256 in checksums.items():
        if sha256_of(root / name) != sha256:
            raise DatasetError(f"{root / name}: not the published file; delete it and run again")
    for folder in sorted({*(root / split for split in folders), *((root / name).parent for name in checksums)}):
        for picture in find_files(folder, (".jpg", ".jpeg", ".png")).values():
            if picture.relative_to(root).as_posix() not in checksums:
                raise DatasetError(f"{picture}: not one of the published files; move it away and run again")
    print(f"{root}: all {len(checksums):,} files have the published sha256")


# A further folder in front is allowed, as in mirrors' archives. Cities and ids hold no dot and no slash.
CITYSCAPES: Final = re.compile(
    rf"(?:[^/]+/)?(leftImg8bit/val/[\w-]+/[\w-]+{re.escape(IMAGE_SUFFIX)}"
    rf"|gtFine/val/[\w-]+/[\w-]+(?:{re.escape(LABEL_SUFFIX)}|{re.escape(INSTANCE_SUFFIX)}))"
)


def prepare_cityscapes(root: Path, archives: Sequence[Path], page: str, names: Mapping[str, float]) -> Cityscapes27:
    """Unpacks the validation split of Cityscapes from archives that the user has downloaded, unless it exists.

    ``archives`` are the zip files; empty: those in ``root``, the folder of the data set, made if missing. ``page``
    offers them; ``names`` has the size of each in GB. Raises `DatasetError` if an archive, or all pictures and
    archives, are missing, or a file is damaged.
    """
    dataset = Cityscapes27(root=str(root))
    try:
        dataset.check_instances()
        complete = len(dataset.listed) == dataset.official_count
    except DatasetError:
        complete = False
    if complete:
        return _checked(dataset)
    archives = archives or [root / name for name in names if (root / name).is_file()]
    named = 'name the downloaded files with ARCHIVES="A.zip B.zip" (--archives A.zip B.zip)'
    if not archives and not (root / "leftImg8bit").is_dir():
        files = " and ".join(f"{name} ({gigabytes:g} GB)" for name, gigabytes in names.items())
        raise DatasetError(
            f"{root}: no archive and no picture there; download {files} from {page} (free account) into it, or {named}"
        )
    for archive in archives:
        if archive.is_dir():
            raise DatasetError(f"{archive}: a folder, no archive; if the data are unpacked there, give it as DIR")
        if not archive.exists():
            raise DatasetError(f"{archive}: the archive is missing; {named}")
    for archive in archives:
        unpack(archive, CITYSCAPES, root, CITYSCAPES_MOST)
    return _checked(Cityscapes27(root=str(root)))


def _checked(dataset: AnyPaired) -> AnyPaired:
    """The data set. Raises `DatasetError` if a listed picture or its labels cannot be opened, or differ in size."""
    for id in tqdm(dataset.listed, desc="check", unit="picture", disable=None, leave=False):
        dataset.check_labels(id)
    return dataset


class Part(NamedTuple):
    """The files to unpack from an archive of COCO, whose key in ``sources.yaml`` is ``source``.

    ``names`` matches their names in the archive; its first group is the path below ``folder``, a folder of the data
    set. There the ``needed`` files must exist afterwards.
    """

    source: str
    folder: str
    names: str
    needed: Sequence[str]


def prepare_cocostuff(root: Path, labels: Literal["png", "json"], sources: Mapping[str, Source]) -> CocoStuff27:
    """Downloads and unpacks the missing files of COCO-Stuff-27, and checks them. Archives stay in ``root/archives``.

    ``labels`` are "png" for the stuffthingmaps, "json" for COCO's annotations. ``sources`` has the file and address of
    each name in ``sources.yaml``. Raises `DatasetError` if a file cannot be downloaded, or is not the published one.
    """
    dataset = CocoStuff27(root=str(root), labels=labels)
    official = dataset.official_list or root / OFFICIAL_LIST
    obtain(sources["list"], official)
    ids = sorted(read_ids(official))
    if labels == "png":
        pngs = [f"{id}.png" for id in ids]
        parts = [Part("stuffthingmaps", f"stuffthingmaps/{SPLIT}", rf"(?:[^/]+/)?{SPLIT}/(\d{{12}}\.png)", pngs)]
    else:
        jsons = {name: f"{name}_{SPLIT}.json" for name in ("instances", "stuff")}
        parts = [Part(name, "annotations", f"annotations/({re.escape(json)})", [json]) for name, json in jsons.items()]
    # Labels come first: if their server is down, nothing large is downloaded.
    parts.append(Part("images", SPLIT, rf"(?:[^/]+/)?{SPLIT}/(\d{{12}}\.jpg)", [f"{id}.jpg" for id in ids]))
    parts = [part for part in parts if not all((root / part.folder / name).is_file() for name in part.needed)]
    if parts:
        announce(root, [sources[part.source] for part in parts])
    for part in parts:
        archive = root / ARCHIVES / sources[part.source].file
        try:
            obtain(sources[part.source], archive)
        except DatasetError as error:
            if part.source != "stuffthingmaps":
                raise
            raise DatasetError(
                f"{error}; or take COCO's annotations, whose maps differ where instances overlap (the tables then "
                'say label_source json), with ARGS="--labels json" (without make: --labels json)'
            ) from error
        unpack(archive, re.compile(part.names), root / part.folder, COCO_MOST)
    return _checked(CocoStuff27(root=str(root), labels=labels))
