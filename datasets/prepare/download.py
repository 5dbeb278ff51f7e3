"""Downloads that survive cut connections and killed processes, checked before they are taken.

Own code on urllib, because pooch, the library for this, starts a broken download of a gigabyte from zero.
A download grows as ``NAME.part``; ``NAME.part.json`` says which version of the file it is a part of.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import sys
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import asdict, dataclass
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets.base import DatasetError

SCHEMES = ("http://", "https://", "file://")

ATTEMPTS = 5
"""Connections in a row that bring nothing new before a download is given up."""

PAUSE = 1.0
"""Seconds before the second of them; doubled before each further one."""

TIMEOUT = 30.0
"""Seconds without an answer, or without another byte, after which a connection counts as cut."""

BLOCK = 1 << 20

# These pass; every other error status (no such file, not allowed) will be the same a moment later.
PASSING = {408, 425, 429, 500, 502, 503, 504}

CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


@dataclass(frozen=True)
class Source:
    """A file and its public home, an entry of ``sources.yaml``.

    Attributes:
        name: key in ``sources.yaml``, and of ``--source NAME=URL``.
        url: http://, https:// or file://.
        file: name under which it is stored.
        about: rough size of the download in GB (10^9 bytes).
        unpacked: rough size in GB of what is taken out of it.
        size: exact, in bytes. None: not published.
        sha256: hex. None: not published.
    """

    name: str
    url: str
    file: str
    about: float
    unpacked: float
    size: int | None = None
    sha256: str | None = None


class _Interrupted(Exception):
    """A connection failed in a way that may pass; the message says how."""


@dataclass(frozen=True)
class _Version:
    """Version of a file. Parts of different versions must not be joined.

    Attributes:
        url: where it comes from.
        total: its size in bytes.
        validator: its ETag or, for want of one, its date; as the server names it.
    """

    url: str
    total: int
    validator: str | None


class _Partial:
    """What has come of a file so far, and of which version of it."""

    def __init__(self, path: Path) -> None:
        self.data = path.with_name(f"{path.name}.part")
        self.notes = path.with_name(f"{path.name}.part.json")

    @property
    def size(self) -> int:
        return self.data.stat().st_size if self.data.exists() else 0

    def version(self, url: str) -> _Version | None:
        """The version the data are a part of; None where they cannot be continued from ``url``."""
        try:
            version = _Version(**json.loads(self.notes.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return version if version.url == url and self.size <= version.total else None

    def restart(self, version: _Version | None = None) -> None:
        """Empties it. Without a ``version`` it cannot be continued later."""
        # In this order, so that a process killed in between leaves no notes about data of another version.
        self.notes.unlink(missing_ok=True)
        self.data.write_bytes(b"")
        if version is not None:
            self.notes.write_text(json.dumps(asdict(version)), encoding="utf-8")

    def move(self, path: Path) -> None:
        self.data.replace(path)
        self.notes.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """sha256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def difference(source: Source, path: Path, sha256: str) -> str | None:
    """What distinguishes a file from the published one; None when nothing known does.

    Args:
        source: what is published.
        path: the file.
        sha256: of the file, hex.
    """
    size = path.stat().st_size
    if source.size not in (None, size):
        return f"it has {size:,} bytes, the published file {source.size:,}"
    if source.sha256 not in (None, sha256):
        return f"its sha256 is {sha256}, that of the published file {source.sha256}"
    if source.file.endswith(".zip") and not zipfile.is_zipfile(path):
        return "it is no zip archive, or not all of one"
    return None


def download(source: Source, path: Path) -> str:
    """Downloads a file to ``path``, going on where an earlier call was cut off or killed.

    Returns:
        The file's sha256, hex.

    Raises:
        DatasetError: the server cannot be reached or refuses (what has come is kept for the next call); or the file
            is not the published one (it is kept as ``NAME.rejected``).
        OSError: the disk is full, or the folder cannot be written.
    """
    partial = _Partial(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    joined = _complete(source, partial)
    wrong = difference(source, partial.data, sha256 := sha256_of(partial.data))
    if wrong and joined:
        # Where the server does not name versions, the pieces may be good ones of two: once more, from the start.
        print(f"{source.file}: {wrong}; it came in pieces, so it is downloaded again", file=sys.stderr)
        partial.restart()
        _complete(source, partial)
        wrong = difference(source, partial.data, sha256 := sha256_of(partial.data))
    if not wrong:
        partial.move(path)
        return sha256
    rejected = path.with_name(f"{path.name}.rejected")
    partial.move(rejected)
    raise DatasetError(
        f"{source.url}: not taken, because {wrong}; kept as {rejected}; try again later, or name another address "
        f"with --source {source.name}=URL"
    )


def _complete(source: Source, partial: _Partial) -> bool:
    """Connects until the file is whole. Returns whether it is joined from pieces of several connections."""
    joined = partial.version(source.url) is not None and partial.size > 0
    longest, failures = partial.size, 0
    while True:
        try:
            _transfer(source, partial)
        except _Interrupted as error:
            # Only what is longer than ever counts as progress: a server that ignores ranges begins at zero each time.
            failures = 0 if partial.size > longest else failures + 1
            longest = max(longest, partial.size)
            joined = joined or partial.size > 0
            if failures == ATTEMPTS:
                raise DatasetError(
                    f"{source.url}: {error} ({ATTEMPTS} attempts); check the connection and run again, which goes on "
                    f"where this stopped, or name another address with --source {source.name}=URL"
                ) from error
            pause = PAUSE * 2 ** max(0, failures - 1)
            print(f"{source.file}: {error}; next attempt in {pause:g} s", file=sys.stderr)
            time.sleep(pause)
        else:
            return joined


def _transfer(source: Source, partial: _Partial) -> None:
    """One connection: adds what it brings.

    Raises:
        _Interrupted: it failed, or was cut.
        DatasetError: the server has no such file, or plainly another one.
    """
    version = partial.version(source.url)
    offset = partial.size if version else 0
    if version and offset == version.total:  # killed after the last byte
        return
    headers = {"User-Agent": "diffseg", "Accept-Encoding": "identity"}
    if version and offset:
        headers["Range"] = f"bytes={offset}-"
        if version.validator:
            headers["If-Range"] = version.validator
    with _connect(source, headers, partial) as response:
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            if version is None or not _continues(response.headers, version, offset):
                partial.restart()
                raise _Interrupted("the server went on with another version of the file")
        else:
            version = _version(source, response.headers)
            partial.restart(version)
        _append(response, partial, version.total if version else None)


def _connect(source: Source, headers: dict[str, str], partial: _Partial) -> Any:
    try:
        return urllib.request.urlopen(urllib.request.Request(source.url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            partial.restart()
        elif error.code not in PASSING:
            raise DatasetError(
                f"{source.url}: the server answers {error.code} ({error.reason}); "
                f"name another address with --source {source.name}=URL"
            ) from error
        raise _Interrupted(f"the server answers {error.code} ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        if source.url.startswith("file://"):
            raise DatasetError(f"{source.url}: {reason}; correct --source {source.name}=URL") from error
        raise _Interrupted(f"no connection ({reason})") from error


def _version(source: Source, headers: Message) -> _Version | None:
    """The version that a server is about to send in full; None where it does not say how long that is."""
    length = headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else None
    other = f"name another address with --source {source.name}=URL"
    if headers.get_content_type() == "text/html":
        raise DatasetError(
            f"{source.url}: a web page came instead of the file (a login page of the network, perhaps); open the "
            f"address in a browser to see it, or {other}"
        )
    if total is None:
        return None
    if source.size not in (None, total):
        raise DatasetError(
            f"{source.url}: the file there has {total:,} bytes, the published one {source.size:,}; {other}"
        )
    return _Version(source.url, total, _validator(headers))


def _validator(headers: Message) -> str | None:
    etag = headers.get("ETag", "W/")
    return headers.get("Last-Modified") if etag.startswith("W/") else etag  # a weak one does not promise equal bytes


def _continues(headers: Message, version: _Version, offset: int) -> bool:
    """Whether a partial answer is the rest of the version that the first part is of."""
    match = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None or (int(match[1]), int(match[2])) != (offset, version.total):
        return False
    return _validator(headers) in (None, version.validator)


def _append(response: Any, partial: _Partial, total: int | None) -> None:
    size = partial.size
    with (
        partial.data.open("ab") as file,
        tqdm(
            desc=partial.data.stem, total=total, initial=size, unit="B", unit_scale=True, disable=None, leave=False
        ) as bar,
    ):
        while total is None or size < total:
            try:
                block = response.read1(BLOCK if total is None else min(BLOCK, total - size))
            except (OSError, http.client.HTTPException) as error:
                raise _Interrupted(f"the connection broke after {size:,} bytes ({error})") from error
            if not block:
                break
            file.write(block)
            size += len(block)
            bar.update(len(block))
    if total is not None and size < total:
        raise _Interrupted(f"the connection closed after {size:,} of {total:,} bytes")
