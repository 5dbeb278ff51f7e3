"""Unpacks files of an untrusted zip archive. Names, links and sizes are checked before any file is written."""

from __future__ import annotations

import errno
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from tqdm import tqdm

from datasets.base import DatasetError

GB = 10**9
BLOCK = 1 << 20
ENCRYPTED = 0x1
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Limits:
    """Largest unpacked sizes in bytes, of one file and of all together. Larger archives are refused."""

    file: int
    total: int


@dataclass(frozen=True)
class Selection:
    """Checked files of an archive.

    Attributes:
        archive: the zip file.
        entries: path below the target folder -> entry.
    """

    archive: Path
    entries: Mapping[str, zipfile.ZipInfo]

    @property
    def bytes(self) -> int:
        """Size of the unpacked files in bytes."""
        return sum(entry.file_size for entry in self.entries.values())


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turns the errors of zipfile and zlib on broken bytes into one line."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, OSError) as error:
        # Of the system's errors, only "invalid argument" comes from the archive: it names a place outside the file.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise DatasetError(f"{archive}: the archive is damaged ({error}); delete it and download it again") from error


def select(archive: Path, members: re.Pattern[str], limits: Limits) -> Selection:
    """Selects the files of an archive whose whole name matches.

    Args:
        archive: the zip file.
        members: pattern of the names; its first group is the path below the target folder.
        limits: largest allowed sizes.

    Raises:
        DatasetError: the archive is damaged, has no matching file, or is refused: a name leads out of the folder, a
            file is a link, encrypted, unusually compressed or too large, or two files have the same path.
        OSError: the archive cannot be opened.
    """
    with _reading(archive), zipfile.ZipFile(archive) as file:
        infos = file.infolist()
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        problem = "leads out of the folder" if _leads_out(info.filename) else None
        if match := members.fullmatch(info.filename):
            if stat.S_ISLNK(info.external_attr >> 16):
                problem = "is a link"
            elif info.flag_bits & ENCRYPTED:
                problem = "is encrypted"
            elif match[1] in entries:
                problem = "occurs twice"
            elif info.compress_type not in COMPRESSIONS:
                problem = "is compressed in an unusual way"
            elif info.file_size > limits.file:
                problem = f"would unpack to {info.file_size:,} bytes, more than the {limits.file:,} of any such file"
            entries[match[1]] = info
        if problem:
            raise DatasetError(
                f"{archive}: nothing is unpacked, because {info.filename!r} in it {problem}; "
                "take the archive from its publisher"
            )
    if not entries:
        raise DatasetError(f"{archive}: no file in it matches {members.pattern}; this is another archive")
    selection = Selection(archive, entries)
    if selection.bytes > limits.total:
        raise DatasetError(
            f"{archive}: nothing is unpacked, because it would take {selection.bytes:,} bytes, more than "
            f"{limits.total:,}; take the archive from its publisher"
        )
    return selection


def _leads_out(name: str) -> bool:
    # The rules for Windows' paths cover both separators, drives, and POSIX.
    path = PureWindowsPath(name)
    return bool(path.anchor) or ".." in path.parts


def require_space(folder: Path, needed: float) -> None:
    """Raises `DatasetError` if the disk of ``folder``, which may not exist, has fewer than ``needed`` free bytes."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise DatasetError(
            f"{folder}: {needed / GB:.1f} GB are needed there but {free / GB:.1f} GB are free; "
            "free some space, or give another DIR"
        )


def unpack(selection: Selection, folder: Path) -> None:
    """Unpacks files below ``folder``. A file appears when it is complete. Equal files stay untouched.

    Raises:
        DatasetError: the archive is damaged, or the disk is too small. Files unpacked before stay.
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = {path: info for path, info in selection.entries.items() if not _is_there(folder / path, info)}
    require_space(folder, sum(info.file_size for info in missing.values()))
    archive = selection.archive
    scratch = folder / ".unpacking"  # always the same name, so that killed processes leave at most one file
    with _reading(archive), zipfile.ZipFile(archive) as file:
        for path, info in tqdm(missing.items(), desc=f"unpack {archive.name}", unit="file", disable=None, leave=False):
            # zipfile stops at the size in the header and compares the checksum, so a wrong header raises an error.
            with file.open(info) as packed, scratch.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, BLOCK)
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            scratch.replace(folder / path)


def _is_there(path: Path, info: zipfile.ZipInfo) -> bool:
    return path.is_file() and path.stat().st_size == info.file_size and zlib.crc32(path.read_bytes()) == info.CRC
