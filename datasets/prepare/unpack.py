"""Unpacks the needed files of an untrusted zip archive. It is checked before the first file is written."""

from __future__ import annotations

import errno
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

from tqdm import tqdm

from datasets.base import DatasetError
from datasets.prepare.download import require_space

ENCRYPTED = 0x1
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def unpack(archive: Path, names: re.Pattern[str], folder: Path, most: int) -> None:
    """Unpacks files below ``folder``, made if missing. A file appears when it is complete. Equal files stay untouched.

    ``names`` matches the needed names in the archive; its first group is the path below ``folder``. Together the files
    may have up to ``most`` bytes.

    Raises:
        DatasetError: the archive is another one or is refused (a name leads out of the folder; or a needed file is a
            link, encrypted, unusually compressed, too large, or there twice), or the disk is too small: nothing is
            written. Or the archive is damaged: files unpacked before stay.
        OSError: a file cannot be read or written.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            named = _select(archive, file.infolist(), names, most)
            missing = {path: info for path, info in named.items() if not _is_there(folder / path, info)}
            require_space(folder, sum(info.file_size for info in missing.values()))
            folder.mkdir(parents=True, exist_ok=True)
            scratch = folder / ".unpacking"  # always the same name, so that killed processes leave at most one file
            bar = tqdm(missing.items(), desc=f"unpack {archive.name}", unit="file", disable=None, leave=False)
            for path, info in bar:
                # zipfile stops at the size in the header and compares the checksum, so a wrong header is an error.
                with file.open(info) as packed, scratch.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                scratch.replace(folder / path)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, OSError) as error:
        # Of the system's errors, only "invalid argument" comes from the archive: it names a place outside the file.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise DatasetError(f"{archive}: the archive is damaged ({error}); delete it and download it again") from error


def _select(
    archive: Path, infos: list[zipfile.ZipInfo], names: re.Pattern[str], most: int
) -> dict[str, zipfile.ZipInfo]:
    """Path below the target folder -> entry of the archive, for the needed files. Raises `DatasetError`."""
    named: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        match = names.fullmatch(info.filename)
        fault = None
        if leads_out(info.filename) or (match and leads_out(match[1])):
            fault = "leads out of the folder"
        elif match:
            fault = "is there twice" if match[1] in named else _fault(info)
            named[match[1]] = info
        if fault:
            raise DatasetError(
                f"{archive}: refused, because {info.filename!r} in it {fault}; take it from its publisher"
            )
    if not named:
        raise DatasetError(f"{archive}: none of the needed files is in it; this is another archive")
    total = sum(info.file_size for info in named.values())
    if total > most:
        raise DatasetError(
            f"{archive}: refused, because its files have {total:,} bytes, more than {most:,}; "
            "take it from its publisher"
        )
    return named


def leads_out(name: str) -> bool:
    """True if a path may lead out of the folder that it is joined to, or is no path of a file, on any system.

    >>> [leads_out(name) for name in ("a/b.jpg", "a/../../b.jpg", "/b.jpg", "C:b.jpg", "a\\\\b.jpg", "")]
    [False, True, True, True, True, True]
    """
    path = PureWindowsPath(name)  # its rules cover drives, and the absolute paths of POSIX
    return "\\" in name or bool(path.anchor) or ".." in path.parts or not path.parts


def _fault(info: zipfile.ZipInfo) -> str | None:
    """Says why a file of an archive is not unpacked. None: it can be."""
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.flag_bits & ENCRYPTED:
        return "is encrypted"
    return None if info.compress_type in COMPRESSIONS else "is compressed in an unusual way"


def _is_there(path: Path, info: zipfile.ZipInfo) -> bool:
    return path.is_file() and path.stat().st_size == info.file_size and zlib.crc32(path.read_bytes()) == info.CRC
