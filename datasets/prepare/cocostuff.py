"""Downloads COCO-Stuff-27: which archives, what is taken out of them, and what is written down about them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from datasets.base import DatasetError
from datasets.coco import SPLIT
from datasets.cocostuff27 import OFFICIAL_LIST, CocoStuff27
from datasets.prepare.download import Source, difference, download, sha256_of
from datasets.prepare.extract import GB, Limits, require_space, select, unpack
from datasets.prepare.layout import check_sizes
from datasets.reading import read_ids

ARCHIVES: Final = "archives"
MANIFEST: Final = ".sources.json"
MB: Final = 10**6

Labels = Literal["png", "json"]


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


def coco_parts(labels: Labels, ids: Iterable[str]) -> list[Part]:
    """The archives of COCO-Stuff-27, labels first: if their host is down, nothing large has been downloaded."""
    pictures = Part(
        source="images",
        members=re.compile(rf"(?:[^/]+/)?{SPLIT}/(\d{{12}}\.jpg)"),
        folder=SPLIT,
        needed=[f"{id}.jpg" for id in ids],
        limits=Limits(file=20 * MB, total=3 * GB),
    )
    if labels == "png":
        maps = replace(
            pictures,
            source="stuffthingmaps",
            members=re.compile(rf"(?:[^/]+/)?{SPLIT}/(\d{{12}}\.png)"),
            folder=f"stuffthingmaps/{SPLIT}",
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
        for source, name in (("instances", f"instances_{SPLIT}.json"), ("stuff", f"stuff_{SPLIT}.json"))
    ]
    return [*annotations, pictures]


def sources_of(entries: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, Source]:
    """The files of COCO-Stuff-27 and their addresses, with those of ``--source`` in the place of the public ones."""
    if unknown := sorted(overrides.keys() - entries.keys()):
        raise DatasetError(f"--source {unknown[0]}: there is no such source; there are {', '.join(entries)}")
    sources = {name: Source(name=name, file=Path(entry["url"]).name, **entry) for name, entry in entries.items()}
    return {name: replace(source, url=overrides.get(name, source.url)) for name, source in sources.items()}


def prepare_cocostuff(root: Path, labels: Labels, sources: Mapping[str, Source]) -> CocoStuff27:
    """Downloads and unpacks what is missing of COCO-Stuff-27 and checks what is there.

    Args:
        root: folder of the data set, made if need be. Archives go to ``root/archives`` and stay there.
        labels: "png" for the stuffthingmaps, "json" for COCO's own annotations.
        sources: files and addresses, by name.

    Raises:
        DatasetError: a file cannot be had, is not the published one, or does not fit the others.
    """
    root.mkdir(parents=True, exist_ok=True)
    places = (root / OFFICIAL_LIST, root / "curated" / SPLIT / OFFICIAL_LIST)
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
                f"{error}; or take COCO's own annotations, whose maps differ where instances overlap (the tables then "
                'say label_source json), with --labels json (under make, ARGS="--labels json")'
            ) from error
        unpack(select(archive, part.members, part.limits), root / part.folder)
    dataset = CocoStuff27(root=str(root), labels=labels)
    check_sizes(dataset)
    if (root / MANIFEST).exists():  # there is none where the folder came from elsewhere; it may be read-only, too
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
    if not there or source.sha256 is None:
        known = read_manifest(root).get(source.file, {})
        url = source.url if not there else known.get("url") if known.get("sha256") == sha256 else None
        published = source.sha256 is not None
        entry = {"url": url, "size": path.stat().st_size, "sha256": sha256, "sha256_published": published}
        record(root, source.file, entry)


def read_manifest(root: Path) -> dict[str, Any]:
    """What `record` has written: for every file where it came from and its checksum; and the label source."""
    path = root / MANIFEST
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise DatasetError(f"{path}: damaged ({error}); delete it, it will be written again") from error


def record(root: Path, key: str, value: object) -> None:
    """Writes an entry of the manifest, if it is a new one."""
    manifest = read_manifest(root)
    if manifest.get(key) != value:
        scratch = root / f"{MANIFEST}.new"
        scratch.write_text(json.dumps({**manifest, key: value}, indent=2) + "\n", encoding="utf-8")
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
    files = " + ".join(f"{file} {gigabytes:.2g}" for file, gigabytes in downloads.items()) or "nothing"
    print(f"{root}: to download about {total:.1f} GB ({files}); on disk {total + unpacked:.1f} GB more", flush=True)
    require_space(root, (total + unpacked) * GB)
