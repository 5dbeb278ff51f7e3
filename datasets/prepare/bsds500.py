"""Downloads BSDS500 from its mirror on GitHub. Unpacks the pictures, the people's segmentations, and the hierarchies.

GitHub packs the archive anew for each download, without a stable checksum, and cannot resume. So a broken download
starts again, and the unpacked files are checked: their number, their sizes, and their sha256 in ``bsds500.csv``
(computed from the files of the mirror).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

from datasets.base import DatasetError
from datasets.bsds500 import ARCHIVE_FOLDER, COUNTS, Bsds500
from datasets.prepare.download import Source, sha256_of
from datasets.prepare.extract import Limits, select, unpack
from datasets.prepare.sources import ARCHIVES, announce, obtain

CHECKSUMS: Final = Path(__file__).with_name("bsds500.csv")
HIERARCHIES: Final = f"{ARCHIVE_FOLDER}/ucm2/"
LIMITS: Final = Limits(file=2 * 10**6, total=300 * 10**6)  # files of 0.4 MB at most, 183 MB together


class Published(NamedTuple):
    """Size and sha256 (hex) of a file of the mirror."""

    size: int
    sha256: str


def prepare_bsds500(root: Path, archive: Source, hierarchies: bool = False, checksums: Path | None = None) -> Bsds500:
    """Downloads and unpacks BSDS500, unless it exists, and checks it.

    Args:
        root: folder of the data set, made if missing. The archive goes to ``root/archives`` and stays there. A zip
            archive that lies there already is used instead of a download.
        archive: its file and address.
        hierarchies: True also unpacks the hierarchies of gPb-owt-ucm, and the authors' scores of them.
        checksums: CSV file with the path, bytes and sha256 of each file; None: `CHECKSUMS`, all of the mirror's files.

    Returns:
        The data set with the split ``test``.

    Raises:
        DatasetError: the archive cannot be downloaded or is not complete, a file is damaged, or the folder holds
            pictures that are not in the list.
    """
    published = _published(checksums or CHECKSUMS, hierarchies)
    path = _archive(root, archive)
    if not all((root / name).is_file() for name in published):
        if not path.is_file():
            announce(root, [archive])
        obtain(archive, path)
        unpack(select(path, _members(published), LIMITS), root)
    if missing := [name for name in published if not (root / name).is_file()]:
        raise DatasetError(
            f"{root / missing[0]}: the file is missing, and not in {path.name} ({len(missing):,} of "
            f"{len(published):,} files are missing); delete that archive and run again"
        )
    for name, (size, sha256) in published.items():
        if (root / name).stat().st_size != size or sha256_of(root / name) != sha256:
            raise DatasetError(f"{root / name}: not the published file; delete it and run again")
    _check_counts(root, published)
    print(f"{root}: all {len(published):,} files have the published size and sha256")
    return Bsds500(root=str(root))


def _archive(root: Path, archive: Source) -> Path:
    """Path of the archive: the only zip file in ``root/archives``, else the name under which it is downloaded."""
    usual = root / ARCHIVES / archive.file
    others = sorted((root / ARCHIVES).glob("*.zip"))
    return others[0] if len(others) == 1 and not usual.is_file() else usual


def _members(paths: Collection[str]) -> re.Pattern[str]:
    """Pattern of the names in the archive: those of the list, below the folder that GitHub adds."""
    folders = "|".join(sorted({re.escape(path.rpartition("/")[0]) for path in paths}))
    endings = "|".join(sorted({re.escape(Path(path).suffix) for path in paths}))
    return re.compile(rf"(?:[^/]+/)?((?:{folders})/\w+(?:{endings}))")


def _check_counts(root: Path, published: Collection[str]) -> None:
    """Raises `DatasetError` if a split holds pictures that are not in the list."""
    for split in COUNTS:
        images = f"{ARCHIVE_FOLDER}/data/images/{split}"
        count = sum(path.startswith(f"{images}/") for path in published)
        listed = len(Bsds500(root=str(root), split=split).listed) if (root / images).is_dir() else 0
        if listed != count:
            raise DatasetError(
                f"{root / images}: {listed} pictures are there, the published list has {count}; "
                "delete the files that are not from it and run again"
            )


def _published(checksums: Path, hierarchies: bool) -> dict[str, Published]:
    """Path below the folder of the data set -> size and sha256. Raises `DatasetError` if the list cannot be read."""
    try:
        with checksums.open(newline="", encoding="utf-8") as file:
            lines = {line["path"]: Published(int(line["bytes"]), line["sha256"]) for line in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DatasetError(f"{checksums}: not a CSV file with path, bytes and sha256 of each file") from error
    return {path: line for path, line in lines.items() if hierarchies or not path.startswith(HIERARCHIES)}
