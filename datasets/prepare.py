"""Gets a data set into the layout that its module reads, and checks that all of it is there.

    python -m datasets.prepare cocostuff --dir DIR
    python -m datasets.prepare cityscapes --dir DIR --archives leftImg8bit_trainvaltest.zip gtFine_trainvaltest.zip

Running it again goes on where it stopped; what is complete is only checked. Exit status: 0 ready, 1 incomplete,
2 an error, which is one line on stderr.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import yaml  # type: ignore[import-untyped]
from PIL import Image
from tqdm import tqdm

from datasets import cityscapes27, cocostuff27
from datasets.base import DatasetError
from datasets.cityscapes27 import Cityscapes27
from datasets.coco_json import read_coco_json
from datasets.cocostuff27 import OFFICIAL_LIST, CocoStuff27
from datasets.download import SCHEMES, Source, difference, download, sha256_of
from datasets.extract import GB, Limits, require_space, select, unpack
from datasets.listing import ListedDataset
from datasets.reading import read_ids

SOURCES: Final = Path(__file__).with_name("sources.yaml")
ARCHIVES: Final = "archives"
MANIFEST: Final = ".sources.json"
MB: Final = 10**6

INCOMPLETE_STATUS, ERROR_STATUS, INTERRUPTED_STATUS = 1, 2, 130

# A folder more in front is allowed, as mirrors have it; a city or an id never holds a dot or a slash.
CITYSCAPES_MEMBERS: Final = re.compile(
    rf"(?:[^/]+/)?(leftImg8bit/{cityscapes27.SPLIT}/[\w-]+/[\w-]+{re.escape(cityscapes27.IMAGE_SUFFIX)}"
    rf"|gtFine/{cityscapes27.SPLIT}/[\w-]+/[\w-]+{re.escape(cityscapes27.LABEL_SUFFIX)})"
)
CITYSCAPES_LIMITS: Final = Limits(file=20 * MB, total=4 * GB)  # 500 pictures of 6.3 MB at most, uncompressed

Size = tuple[int, int]


@dataclass(frozen=True)
class Part:
    """What one archive of COCO brings.

    Attributes:
        source: key in ``sources.yaml``.
        members: names in the archive; the first group is the path below ``folder``.
        folder: where they go, below the folder of the data set.
        needed: those of them that must be there, below ``folder``.
        limits: what is refused as too large.
    """

    source: str
    members: re.Pattern[str]
    folder: str
    needed: Sequence[str]
    limits: Limits

    def is_complete(self, root: Path) -> bool:
        return all((root / self.folder / name).is_file() for name in self.needed)


def coco_parts(labels: Literal["png", "json"], ids: Iterable[str]) -> list[Part]:
    """The archives of COCO-Stuff-27, labels first: if their host is down, nothing large has been downloaded."""
    split = cocostuff27.SPLIT
    pictures = Part(
        source="images",
        members=re.compile(rf"(?:[^/]+/)?{split}/(\d{{12}}\.jpg)"),
        folder=split,
        needed=[f"{id}.jpg" for id in ids],
        limits=Limits(file=20 * MB, total=3 * GB),
    )
    if labels == "png":
        maps = replace(
            pictures,
            source="stuffthingmaps",
            members=re.compile(rf"(?:[^/]+/)?{split}/(\d{{12}}\.png)"),
            folder=f"stuffthingmaps/{split}",
            needed=[f"{id}.png" for id in ids],
        )
        return [maps, pictures]
    annotations = [
        Part(
            source=source,
            members=re.compile(rf"annotations/({re.escape(name)})"),
            folder="annotations",
            needed=[name],
            limits=Limits(file=3 * GB, total=3 * GB),
        )
        for source, name in (("instances", f"instances_{split}.json"), ("stuff", f"stuff_{split}.json"))
    ]
    return [*annotations, pictures]


def read_sources(path: Path, overrides: Mapping[str, str]) -> dict[str, Source]:
    """The files of COCO-Stuff-27 and their addresses, with those of ``--source`` in the place of the public ones."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["cocostuff"]
    if unknown := sorted(overrides.keys() - entries.keys()):
        raise DatasetError(f"--source {unknown[0]}: there is no such source; there are {', '.join(entries)}")
    sources = {name: Source(name=name, file=Path(entry["url"]).name, **entry) for name, entry in entries.items()}
    return {name: replace(source, url=overrides.get(name, source.url)) for name, source in sources.items()}


def prepare_cocostuff(root: Path, labels: Literal["png", "json"], sources: Mapping[str, Source]) -> CocoStuff27:
    """Downloads and unpacks what is missing of COCO-Stuff-27 and checks what is there.

    Args:
        root: folder of the data set, made if need be. Archives go to ``root/archives`` and stay there.
        labels: "png" for the stuffthingmaps, "json" for COCO's own annotations.
        sources: files and addresses, by name.

    Raises:
        DatasetError: a file cannot be had, is not the published one, or does not fit the others.
    """
    root.mkdir(parents=True, exist_ok=True)
    places = (root / OFFICIAL_LIST, root / "curated" / cocostuff27.SPLIT / OFFICIAL_LIST)
    official = next((path for path in places if path.is_file()), places[0])
    obtain(sources["list"], official, root)
    parts = [part for part in coco_parts(labels, sorted(read_ids(official))) if not part.is_complete(root)]
    if parts:
        announce(root, [sources[part.source] for part in parts])
    for part in parts:
        archive = root / ARCHIVES / sources[part.source].file
        try:
            obtain(sources[part.source], archive, root)
        except DatasetError as error:
            if part.source != "stuffthingmaps":
                raise
            raise DatasetError(
                f"{error}; or take COCO's own annotations instead, with --labels json (the label maps painted from "
                "them differ where instances overlap; the tables then say label_source json)"
            ) from error
        unpack(select(archive, part.members, part.limits), root / part.folder)
    dataset = CocoStuff27(root=str(root), labels=labels)
    check_sizes(root, dataset)
    record(root, "label_source", dataset.label_source)
    return dataset


def obtain(source: Source, path: Path, root: Path) -> None:
    """Downloads a file, unless it is there; checks it either way and writes down what it is."""
    there = path.is_file()
    if not there:
        print(f"{source.file}: from {source.url}", flush=True)
    sha256 = sha256_of(path) if there else download(source, path)
    if there and (wrong := difference(source, path, sha256)):
        raise DatasetError(f"{path}: not the published file, because {wrong}; move it away and run again")
    if source.sha256 is None:
        print(f"{source.file}: no checksum of it is published; its sha256 {sha256} is recorded in {root / MANIFEST}")
    known = read_manifest(root).get(source.file, {})
    if known.get("sha256") != sha256:
        entry = {
            "url": None if there else source.url,  # None: it was there already
            "size": path.stat().st_size,
            "sha256": sha256,
            "sha256_published": source.sha256 is not None,
        }
        record(root, source.file, entry)


def read_manifest(root: Path) -> dict[str, Any]:
    """What `record` has written: for every file where it came from and its checksum; and the label source."""
    path = root / MANIFEST
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise DatasetError(f"{path}: damaged ({error}); delete it, it will be written again") from error


def record(root: Path, key: str, value: object) -> None:
    """Adds an entry to the manifest."""
    content = json.dumps({**read_manifest(root), key: value}, indent=2) + "\n"
    scratch = root / f"{MANIFEST}.new"
    scratch.write_text(content, encoding="utf-8")
    scratch.replace(root / MANIFEST)


def announce(root: Path, sources: Iterable[Source]) -> None:
    """Says how much will be downloaded and needed. Raises `DatasetError` when the disk is too small for it."""
    unpacked, downloads = 0.0, {}
    for source in sources:
        archive = root / ARCHIVES / source.file
        unpacked += source.unpacked
        if not archive.is_file():
            part = archive.with_name(f"{archive.name}.part")
            downloads[source.file] = max(0.0, source.about - (part.stat().st_size / GB if part.exists() else 0))
    total = sum(downloads.values())
    files = ", ".join(f"{file} {gigabytes:.2g}" for file, gigabytes in downloads.items()) or "nothing"
    print(f"{root}: about {total:.1f} GB to download ({files}); takes {total + unpacked:.1f} GB more on disk", flush=True)
    require_space(root, (total + unpacked) * GB)


def prepare_cityscapes(root: Path, archives: Sequence[Path], page: str, names: Mapping[str, float]) -> Cityscapes27:
    """Unpacks the validation split of Cityscapes, unless it is there, and checks it.

    Args:
        root: folder of the data set, made if need be.
        archives: the downloaded zips. Empty: those in ``root``.
        page: where they are to be had.
        names: their names, with the size of each in GB.

    Raises:
        DatasetError: there is neither an archive nor a picture; or a file is damaged or does not fit the others.
    """
    root.mkdir(parents=True, exist_ok=True)
    dataset = Cityscapes27(root=str(root))
    if not _is_complete(dataset):
        archives = archives or [root / name for name in names if (root / name).is_file()]
        if not archives and not (root / "leftImg8bit").is_dir():
            files = " and ".join(f"{name} ({gigabytes:g} GB)" for name, gigabytes in names.items())
            raise DatasetError(
                f"{root}: no archive and no picture there; download {files} from {page} (free account) into it, or "
                'name the downloaded files with ARCHIVES="A.zip B.zip" (--archives A.zip B.zip)'
            )
        selections = [select(archive, CITYSCAPES_MEMBERS, CITYSCAPES_LIMITS) for archive in archives]
        for selection in selections:
            count, size = len(selection.entries), selection.bytes / GB
            print(f"{selection.archive}: {count:,} files of the validation split, {size:.1f} GB on disk", flush=True)
        for selection in selections:
            unpack(selection, root)
        dataset = Cityscapes27(root=str(root))
    check_sizes(root, dataset)
    return dataset


def _is_complete(dataset: ListedDataset) -> bool:
    try:
        return len(dataset.listed) == dataset.official_count
    except DatasetError:
        return False


def check_sizes(root: Path, dataset: CocoStuff27 | Cityscapes27) -> None:
    """Reads the header of every listed picture and label map.

    Raises:
        DatasetError: a file is missing or no picture; or a picture and its label map differ in width or height.
    """
    ids = dataset.listed
    for id in tqdm(ids, desc="check", unit="picture", disable=None, leave=False):
        ...
