"""Downloads files and checks them. Cut connections and killed processes lose nothing.

A download grows as ``NAME.part``. The next connection, or the next call, resumes it if the server supports that. The
usual library, pooch, would start a broken download of a gigabyte again from zero, so this module uses urllib.
"""

from __future__ import annotations

import http.client
import re
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets.base import DatasetError
from diffseg.files import sha256_of

SCHEMES = ("http://", "https://", "file://")

ATTEMPTS = 5
"""Number of connections in a row without a new byte after which a download fails."""

PAUSE = 1.0
"""Seconds before the second attempt; doubled before each further attempt."""

TIMEOUT = 30.0
"""Seconds without an answer, or without a further byte, after which a connection counts as cut."""

BLOCK = 1 << 20

# Statuses after which another attempt may succeed. All others (no such file, not allowed) are final.
TEMPORARY = {408, 425, 429, 500, 502, 503, 504}

CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")


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


class _Interrupted(Exception):
    """A connection failed, but a later one may succeed. The message says why."""


class _Unreachable(_Interrupted):
    """No connection was made."""


def difference(source: Source, path: Path, sha256: str) -> str | None:
    """Says how a file differs from the published one. None: size and checksum match as far as they are published.

    Args:
        source: the published file.
        path: the file to compare.
        sha256: its sha256, hex.
    """
    size = path.stat().st_size
    if source.size not in (None, size):
        return f"it has {size:,} bytes, the published file {source.size:,}"
    if source.sha256 not in (None, sha256):
        return f"its sha256 is {sha256}, that of the published file {source.sha256}"
    if source.file.endswith(".zip") and not zipfile.is_zipfile(path):
        return "it is not a complete zip archive"
    return None


def download(source: Source, path: Path) -> str:
    """Downloads a file to ``path``. Folders are made when the first byte arrives.

    Returns:
        The file's sha256, hex.

    Raises:
        DatasetError: the server cannot be reached or refuses (the next call resumes the download); or the file is not
            the published one (it is kept as ``NAME.rejected``).
        OSError: the disk is full, or the folder cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    joined = _complete(source, part)
    wrong = difference(source, part, sha256 := sha256_of(part))
    if wrong and joined:  # the pieces may be of two versions of the file: download it again in one piece
        part.unlink()
        _complete(source, part)
        wrong = difference(source, part, sha256 := sha256_of(part))
    if wrong:
        rejected = part.replace(path.with_name(f"{path.name}.rejected"))
        raise DatasetError(
            f"{source.url}: the file is refused, because {wrong}; it is kept as {rejected}; try again later, or "
            f"{source.elsewhere}"
        )
    part.replace(path)
    return sha256


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _complete(source: Source, part: Path) -> bool:
    """Connects until the file is complete. Returns True if several connections brought pieces of it."""
    longest = _size(part)
    joined, failures = longest > 0, 0
    for connection in count(1):
        try:
            _transfer(source, part)
            break
        except _Interrupted as error:
            # Only a new greatest length is progress: a server that ignores ranges begins at zero each time.
            failures = 0 if _size(part) > longest else failures + 1
            longest = max(longest, _size(part))
            joined = joined or longest > 0
            offline = connection == 1 and isinstance(error, _Unreachable)
            if failures == ATTEMPTS or offline:
                attempts = "" if offline else f" ({ATTEMPTS} attempts)"
                raise DatasetError(
                    f"{source.url}: {error}{attempts}; check the connection and run the same command again to "
                    f"resume the download, or {source.elsewhere}"
                ) from error
            pause = PAUSE * 2 ** max(0, failures - 1)
            print(f"{source.file}: {error}; next attempt in {pause:g} s", file=sys.stderr)
            time.sleep(pause)
    return joined


def _transfer(source: Source, part: Path) -> None:
    """Appends the bytes of one connection to the part.

    Raises:
        _Interrupted: the connection failed, or was cut.
        DatasetError: the server has no such file, or a file of another size or kind.
    """
    offset = _size(part)
    if offset and offset == source.size:  # killed after the last byte
        return
    with _connect(source, part, offset) as response:
        if response is None:  # the part is complete
            return
        headers: Message = response.headers
        if headers.get_content_type() == "text/html":
            raise DatasetError(
                f"{source.url}: the server sent a web page instead of the file (perhaps a login page of the network); "
                f"open the address in a browser to see it, or {source.elsewhere}"
            )
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            match = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
            if match is None or match[1] != str(offset):
                part.unlink()
                raise _Interrupted("the server resumed at another place in the file")
            total: int | None = int(match[2])
        else:
            offset, length = 0, headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
        if total is not None and source.size not in (None, total):
            raise DatasetError(
                f"{source.url}: the file there has {total:,} bytes, the published one {source.size:,}; "
                f"{source.elsewhere}"
            )
        _append(response, part, offset, total)


@contextmanager
def _connect(source: Source, part: Path, offset: int) -> Iterator[Any]:
    """The server's answer; None if it says that the file ends at ``offset``."""
    headers = {"User-Agent": "diffseg", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(source.url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
            match = CONTENT_RANGE.fullmatch(error.headers.get("Content-Range", ""))
            if match is None or int(match[2]) != offset:
                part.unlink()
                raise _Interrupted("the server's file is shorter than the part downloaded before") from error
            yield None
            return
        if error.code not in TEMPORARY:
            raise DatasetError(
                f"{source.url}: the server answers {error.code} ({error.reason}); {source.elsewhere}"
            ) from error
        raise _Interrupted(f"the server answers {error.code} ({error.reason})") from error
    except urllib.error.URLError as error:
        if source.url.startswith("file://"):
            raise DatasetError(f"{source.url}: {error.reason}; correct --source {source.name}=URL") from error
        raise _Unreachable(f"no connection ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(f"no answer ({error})") from error
    with response:
        yield response


def _append(response: Any, part: Path, size: int, total: int | None) -> None:
    """Writes an answer after the first ``size`` bytes. Raises _Interrupted if it ends before ``total`` bytes."""
    part.parent.mkdir(parents=True, exist_ok=True)
    with (
        part.open("ab" if size else "wb") as file,
        tqdm(desc=part.stem, total=total, initial=size, unit="B", unit_scale=True, disable=None, leave=False) as bar,
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
