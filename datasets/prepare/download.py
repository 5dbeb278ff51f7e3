"""Downloads files and checks them. A download grows as ``NAME.part``; the next connection or the next call resumes it.

The usual library, pooch, would start a broken download of a gigabyte again from zero, so this module uses urllib.
"""

from __future__ import annotations

import http.client
import shutil
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from datasets.base import DatasetError
from diffseg.files.writing import sha256_of

ARCHIVES: Final = "archives"  # folder of the downloads, below that of the data set
SCHEMES = ("http://", "https://", "file://")

ATTEMPTS = 5  # connections in a row without a new byte after which a download fails
PAUSE = 1.0  # seconds before the second attempt; doubled before each further attempt
TIMEOUT = 30.0  # seconds without an answer, or a further byte, after which a connection counts as cut

GB = 10**9
BLOCK = 1 << 20

# Statuses after which another attempt may succeed. All others (no such file, not allowed) are final.
TEMPORARY = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Source:
    """A file and its public address, an entry of ``sources.yaml``.

    Attributes:
        name: key in ``sources.yaml``, and of ``--source NAME=URL``.
        url: http://, https:// or file://.
        file: name under which it is stored.
        about: rough size of the download in GB (10^9 bytes).
        unpacked: rough size in GB of the files unpacked from it.
        size: exact size in bytes. None: not published.
        sha256: checksum, hex. None: not published.
    """

    name: str
    url: str
    file: str
    about: float
    unpacked: float
    size: int | None = None
    sha256: str | None = None

    @property
    def elsewhere(self) -> str:
        """Advice: how to take the file from another address."""
        return f'name another address with ARGS="--source {self.name}=URL" (without make: --source {self.name}=URL)'

    def fault(self, path: Path) -> str | None:
        """Says how a file differs from the published one. None: size and checksum match, as far as published."""
        size, sha256 = path.stat().st_size, sha256_of(path)
        if self.size not in (None, size):
            return f"it has {size:,} bytes, the published file {self.size:,}"
        if self.sha256 not in (None, sha256):
            return f"its sha256 is {sha256}, that of the published file {self.sha256}"
        if self.file.endswith(".zip") and not zipfile.is_zipfile(path):
            return "it is not a complete zip archive"
        return None


class _Cut(Exception):
    """A connection failed or was cut, but a later one may succeed. The message says why."""


def obtain(source: Source, path: Path) -> None:
    """Downloads a file to ``path`` unless it exists, and checks it. Prints its sha256 if its publisher gives none.

    Raises:
        DatasetError: the server cannot be reached or refuses (the next call resumes the download), or the file is not
            the published one (a downloaded one is kept as ``NAME.rejected``).
        OSError: the disk is full, or the folder cannot be written.
    """
    if path.is_file():
        if fault := source.fault(path):
            raise DatasetError(f"{path}: not the published file, because {fault}; move it away and run again")
    else:
        print(f"{source.file}: from {source.url}", flush=True)
        part = path.with_name(f"{path.name}.part")
        _download(source, part)
        if fault := source.fault(part):
            rejected = part.replace(path.with_name(f"{path.name}.rejected"))
            raise DatasetError(
                f"{source.url}: the file is refused, because {fault}; it is kept as {rejected}; try again later, or "
                f"{source.elsewhere}"
            )
        part.replace(path)
    if source.sha256 is None:
        print(f"{source.file}: its publisher gives no checksum; the sha256 of this file is {sha256_of(path)}")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _download(source: Source, part: Path) -> None:
    """Connects until the part is complete. Raises `DatasetError` after `ATTEMPTS` connections without a new byte."""
    longest, failures = _size(part), 0
    for connection in count(1):
        try:
            return _transfer(source, part)
        except _Cut as error:
            # Only a new greatest length is progress: a server that ignores ranges begins at zero each time.
            failures = 0 if _size(part) > longest else failures + 1
            longest = max(longest, _size(part))
            offline = connection == 1 and type(error.__cause__) is urllib.error.URLError
            if failures == ATTEMPTS or offline:
                attempts = "" if offline else f" ({ATTEMPTS} attempts)"
                raise DatasetError(
                    f"{source.url}: {error}{attempts}; check the connection and run the same command again to "
                    f"resume the download, or {source.elsewhere}"
                ) from error
            pause = PAUSE * 2 ** max(0, failures - 1)
            print(f"{source.file}: {error}; next attempt in {pause:g} s", file=sys.stderr)
            time.sleep(pause)


def _transfer(source: Source, part: Path) -> None:
    """Appends the bytes of one connection. Raises `_Cut`, or `DatasetError` if the server has not the right file."""
    offset = _size(part)
    if offset and offset == source.size:  # killed after the last byte
        return
    headers = {"User-Agent": "diffseg", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(source.url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
            return  # nothing follows these bytes; `Source.fault` says whether they are the file
        if error.code in TEMPORARY:
            raise _Cut(f"the server answers {error.code} ({error.reason})") from error
        message = f"{source.url}: the server answers {error.code} ({error.reason}); {source.elsewhere}"
        raise DatasetError(message) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(f"no connection ({getattr(error, 'reason', error)})") from error
    with response:
        _append(source, response, part, offset)


def _append(source: Source, response: Any, part: Path, offset: int) -> None:
    """Writes an answer to the end of the part, or over it if the server sends the whole file."""
    if response.headers.get_content_type() == "text/html":
        raise DatasetError(
            f"{source.url}: the server sent a web page instead of the file (perhaps a login page of the network); "
            f"open the address in a browser to see it, or {source.elsewhere}"
        )
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        offset = 0
    elif not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        part.unlink()
        raise _Cut("the server resumed at another place in the file")
    length = response.headers.get("Content-Length")  # absent if the server sends chunks, whose end http.client knows
    size, total = offset, None if length is None else offset + int(length)
    if total is not None and source.size not in (None, total):
        raise DatasetError(
            f"{source.url}: the file there has {total:,} bytes, the published one {source.size:,}; {source.elsewhere}"
        )
    part.parent.mkdir(parents=True, exist_ok=True)
    with (
        part.open("ab" if offset else "wb") as file,
        tqdm(desc=part.stem, total=total, initial=size, unit="B", unit_scale=True, disable=None, leave=False) as bar,
    ):
        while True:
            try:
                block = response.read1(BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise _Cut(f"the connection broke after {size:,} bytes ({error})") from error
            if not block:
                break
            file.write(block)
            size += len(block)
            bar.update(len(block))
    if total is not None and size < total:
        raise _Cut(f"the connection closed after {size:,} of {total:,} bytes")


def announce(root: Path, sources: Iterable[Source]) -> None:
    """Prints the size of the download and the space it needs. Raises `DatasetError` if the disk is too small."""
    unpacked, downloads = 0.0, {}
    for source in sources:
        archive = root / ARCHIVES / source.file
        unpacked += source.unpacked
        if not archive.is_file():
            downloads[source.file] = max(0.0, source.about - _size(archive.with_name(f"{archive.name}.part")) / GB)
    total = sum(downloads.values())
    files = " + ".join(f"{file} {gigabytes:.2g}" for file, gigabytes in downloads.items()) or "nothing"
    print(f"{root}: downloads about {total:.1f} GB ({files}); needs {total + unpacked:.1f} GB on the disk", flush=True)
    require_space(root, (total + unpacked) * GB)


def require_space(folder: Path, needed: float) -> None:
    """Raises `DatasetError` if the disk of ``folder``, which may not exist, has fewer than ``needed`` free bytes."""
    free = shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.exists())).free
    if free < needed:
        raise DatasetError(
            f"{folder}: {needed / GB:.1f} GB are needed there but {free / GB:.1f} GB are free; "
            "free some space, or give another DIR"
        )
