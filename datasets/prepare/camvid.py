"""Downloads CamVid in SegNet's release, an archive on GitHub. Only its folder ``CamVid/`` is unpacked.

GitHub packs the archive anew for each download, without a stable checksum, and cannot resume. So a broken download
starts again, and the unpacked files are checked: their number, their sizes, and their sha256 in ``camvid.sha256``
(computed from the files of the release; ``sha256sum -c`` reads it, too).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from datasets.base import DatasetError
from datasets.camvid import ARCHIVE_FOLDER, COUNTS, Camvid
from datasets.prepare.download import Source
from datasets.prepare.extract import Limits, select, unpack
from datasets.prepare.layout import check_sizes
from datasets.prepare.sources import ARCHIVES, announce, obtain
from diffseg.files import sha256_of

CHECKSUMS: Final = Path(__file__).with_name("camvid.sha256")
SPLITS: Final = "|".join(COUNTS)
MEMBERS: Final = re.compile(rf"[^/]+/({ARCHIVE_FOLDER}/(?:{SPLITS})(?:annot)?/\w+\.png)")
LIMITS: Final = Limits(file=2 * 10**6, total=300 * 10**6)  # pictures of 0.34 MB at most, 187 MB together


def prepare_camvid(root: Path, archive: Source) -> Camvid:
    """Downloads and unpacks CamVid, unless it exists, and checks it.

    Args:
        root: folder of the data set, made if missing. The archive goes to ``root/archives`` and stays there.
        archive: its file and address.

    Returns:
        The data set with the split ``test``.

    Raises:
        DatasetError: the archive cannot be downloaded or is not CamVid's, or a file is damaged.
    """
    published = _published()
    if not all((root / path).is_file() for path in published):
        announce(root, [archive])
        obtain(archive, root / ARCHIVES / archive.file)
        unpack(select(root / ARCHIVES / archive.file, MEMBERS, LIMITS), root)
    for path, sha256 in published.items():
        if not (root / path).is_file():
            raise DatasetError(
                f"{root / path}: the file is missing, and not in {archive.file}; delete that archive and run again"
            )
        if sha256_of(root / path) != sha256:
            raise DatasetError(f"{root / path}: not the published file; delete it and run again")
    for split, count in COUNTS.items():
        dataset = Camvid(root=str(root), split=split)
        if len(dataset.listed) != count:
            raise DatasetError(
                f"{root / ARCHIVE_FOLDER / split}: {len(dataset.listed)} pictures are there, the release has {count}; "
                "delete the files that are not from it and run again"
            )
        check_sizes(dataset)
    print(f"{root}: all {len(published):,} files of {', '.join(COUNTS)} have the published sha256")
    return Camvid(root=str(root))


def _published() -> dict[str, str]:
    """Path below the folder of the data set -> sha256 (hex)."""
    lines = CHECKSUMS.read_text(encoding="utf-8").splitlines()
    return {path: sha256 for sha256, path in (line.split(maxsplit=1) for line in lines)}
