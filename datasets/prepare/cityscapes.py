"""Unpacks the validation split of Cityscapes from archives that the user has downloaded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from datasets.base import DatasetError
from datasets.cityscapes27 import IMAGE_SUFFIX, INSTANCE_SUFFIX, LABEL_SUFFIX, SPLIT, Cityscapes27
from datasets.prepare.extract import GB, Limits, select, unpack
from datasets.prepare.layout import check_sizes

# A further folder in front is allowed, as in mirrors' archives. Cities and ids hold no dot and no slash.
MEMBERS: Final = re.compile(
    rf"(?:[^/]+/)?(leftImg8bit/{SPLIT}/[\w-]+/[\w-]+{re.escape(IMAGE_SUFFIX)}"
    rf"|gtFine/{SPLIT}/[\w-]+/[\w-]+(?:{re.escape(LABEL_SUFFIX)}|{re.escape(INSTANCE_SUFFIX)}))"
)
LIMITS: Final = Limits(file=20 * 10**6, total=4 * GB)  # 500 pictures of 6.3 MB at most, uncompressed


def prepare_cityscapes(root: Path, archives: Sequence[Path], page: str, names: Mapping[str, float]) -> Cityscapes27:
    """Unpacks the validation split of Cityscapes, unless it exists, and checks it.

    Args:
        root: folder of the data set, made if missing.
        archives: the downloaded zip files. Empty: the archives in ``root``.
        page: address of the page that offers the archives.
        names: name of each archive -> its size in GB.

    Raises:
        DatasetError: no archive and no picture exists, a named archive is missing, or a file is damaged or does not
            fit the others.
    """
    dataset = Cityscapes27(root=str(root))
    if not _is_complete(dataset):
        archives = archives or [root / name for name in names if (root / name).is_file()]
        if not archives and not (root / "leftImg8bit").is_dir():
            files = " and ".join(f"{name} ({gigabytes:g} GB)" for name, gigabytes in names.items())
            raise DatasetError(
                f"{root}: no archive and no picture there; download {files} from {page} (free account) into it, or "
                'name the downloaded files with ARCHIVES="A.zip B.zip" (--archives A.zip B.zip)'
            )
        if folders := [path for path in archives if path.is_dir()]:
            raise DatasetError(f"{folders[0]}: a folder, no archive; if the data are unpacked there, give it as DIR")
        if gone := [str(path) for path in archives if not path.exists()]:
            raise DatasetError(
                f"{', '.join(gone)}: the archive is missing; name the archives that you have downloaded with "
                'ARCHIVES="A.zip B.zip" (--archives A.zip B.zip)'
            )
        selections = [select(archive, MEMBERS, LIMITS) for archive in archives]
        for selection in selections:
            count, size = len(selection.entries), selection.bytes / GB
            print(f"{selection.archive}: {count:,} files of the validation split, {size:.1f} GB on disk", flush=True)
        for selection in selections:
            unpack(selection, root)
        dataset = Cityscapes27(root=str(root))
    check_sizes(dataset)
    return dataset


def _is_complete(dataset: Cityscapes27) -> bool:
    try:
        dataset.check_instances()
        return len(dataset.listed) == dataset.official_count
    except DatasetError:
        return False
