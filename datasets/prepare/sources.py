"""Downloads and checks the files of ``sources.yaml``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from datasets.base import DatasetError
from datasets.prepare.download import Source, difference, download
from datasets.prepare.extract import GB, require_space
from diffseg.files import sha256_of

ARCHIVES: Final = "archives"


def sources_of(entries: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, Source]:
    """Name -> file and address of a data set. Addresses of ``--source`` replace the public ones."""
    if unknown := sorted(overrides.keys() - entries.keys()):
        raise DatasetError(f"--source {unknown[0]}: unknown source; known: {', '.join(entries)}")
    sources = {
        name: Source(**{"name": name, "file": Path(entry["url"]).name, **entry}) for name, entry in entries.items()
    }
    return {name: replace(source, url=overrides.get(name, source.url)) for name, source in sources.items()}


def obtain(source: Source, path: Path) -> None:
    """Downloads a file unless it exists, and checks it. Prints its sha256 if its publisher gives none.

    Raises:
        DatasetError: the file cannot be downloaded, or is not the published one.
    """
    if path.is_file():
        sha256 = sha256_of(path)
        if wrong := difference(source, path, sha256):
            raise DatasetError(f"{path}: not the published file, because {wrong}; move it away and run again")
    else:
        print(f"{source.file}: from {source.url}", flush=True)
        sha256 = download(source, path)
    if source.sha256 is None:
        print(f"{source.file}: its publisher gives no checksum; the sha256 of this file is {sha256}", flush=True)


def announce(root: Path, sources: Iterable[Source]) -> None:
    """Prints the size of the download and the space it needs. Raises `DatasetError` if the disk is too small."""
    unpacked, downloads = 0.0, {}
    for source in sources:
        archive = root / ARCHIVES / source.file
        unpacked += source.unpacked
        if not archive.is_file():
            part = archive.with_name(f"{archive.name}.part")
            downloads[source.file] = max(0.0, source.about - (part.stat().st_size / GB if part.exists() else 0))
    total = sum(downloads.values())
    files = " + ".join(f"{file} {gigabytes:.2g}" for file, gigabytes in downloads.items()) or "nothing"
    print(f"{root}: downloads about {total:.1f} GB ({files}); needs {total + unpacked:.1f} GB on the disk", flush=True)
    require_space(root, (total + unpacked) * GB)
