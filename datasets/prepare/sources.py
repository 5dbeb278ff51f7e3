"""Downloads and checks the files of ``sources.yaml``, and records their addresses and checksums."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from datasets.base import DatasetError
from datasets.prepare.download import Source, difference, download, sha256_of
from datasets.prepare.extract import GB, require_space

ARCHIVES: Final = "archives"
MANIFEST: Final = ".sources.json"


def sources_of(entries: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, Source]:
    """Name -> file and address of a data set. Addresses of ``--source`` replace the public ones."""
    if unknown := sorted(overrides.keys() - entries.keys()):
        raise DatasetError(f"--source {unknown[0]}: unknown source; known: {', '.join(entries)}")
    sources = {
        name: Source(**{"name": name, "file": Path(entry["url"]).name, **entry}) for name, entry in entries.items()
    }
    return {name: replace(source, url=overrides.get(name, source.url)) for name, source in sources.items()}


def obtain(source: Source, path: Path, root: Path) -> None:
    """Downloads a file unless it exists, checks it, and records its address and checksum."""
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
    """Reads the manifest: address and checksum of each file, and the label source."""
    path = root / MANIFEST
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise DatasetError(f"{path}: damaged ({error}); delete it and run again") from error


def record(root: Path, key: str, value: object) -> None:
    """Writes an entry of the manifest if it has changed."""
    manifest = read_manifest(root)
    if manifest.get(key) != value:
        scratch = root / f"{MANIFEST}.new"
        scratch.write_text(json.dumps({**manifest, key: value}, indent=2) + "\n", encoding="utf-8")
        scratch.replace(root / MANIFEST)


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
