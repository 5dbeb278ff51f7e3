"""Downloads COCO-Stuff-27, and unpacks the needed files of its archives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from datasets.base import DatasetError
from datasets.coco import SPLIT
from datasets.cocostuff27 import OFFICIAL_LIST, CocoStuff27
from datasets.prepare.download import Source
from datasets.prepare.extract import GB, Limits, select, unpack
from datasets.prepare.layout import check_sizes
from datasets.prepare.sources import ARCHIVES, announce, obtain
from datasets.reading import read_ids

MB: Final = 10**6

LabelFormat = Literal["png", "json"]


@dataclass(frozen=True)
class Part:
    """The files to unpack from an archive of COCO.

    Attributes:
        source: key in ``sources.yaml``.
        members: names in the archive; the first group is the path below ``folder``.
        folder: target folder, below the folder of the data set.
        needed: files that must exist afterwards, below ``folder``.
        limits: sizes above which the archive is refused.
    """

    source: str
    members: re.Pattern[str]
    folder: str
    needed: Sequence[str]
    limits: Limits

    def is_complete(self, root: Path) -> bool:
        return all((root / self.folder / name).is_file() for name in self.needed)


def coco_parts(labels: LabelFormat, ids: Iterable[str]) -> list[Part]:
    """The archives of COCO-Stuff-27. Labels come first: if their server is down, nothing large is downloaded."""
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


def prepare_cocostuff(root: Path, labels: LabelFormat, sources: Mapping[str, Source]) -> CocoStuff27:
    """Downloads and unpacks the missing files of COCO-Stuff-27, and checks all of them.

    Args:
        root: folder of the data set, made if missing. Archives go to ``root/archives`` and stay there.
        labels: "png" for the stuffthingmaps, "json" for COCO's annotations.
        sources: name -> file and address.

    Raises:
        DatasetError: a file cannot be downloaded, is not the published one, or does not fit the others.
    """
    places = (root / OFFICIAL_LIST, root / "curated" / SPLIT / OFFICIAL_LIST)
    official = next((path for path in places if path.is_file()), places[0])
    obtain(sources["list"], official)
    parts = [part for part in coco_parts(labels, sorted(read_ids(official))) if not part.is_complete(root)]
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
        unpack(select(archive, part.members, part.limits), root / part.folder)
    dataset = CocoStuff27(root=str(root), labels=labels)
    check_sizes(dataset)
    return dataset
