"""Unpacks the needed files of a zip archive."""

from __future__ import annotations

import errno
import re
import shutil
import zipfile
import zlib
from pathlib import Path

from tqdm import tqdm

from datasets.base import DatasetError
from datasets.prepare.download import require_space


def unpack(archive: Path, names: re.Pattern[str], folder: Path) -> None:
    """Unpacks files below ``folder``. A file appears when it is complete. Equal files stay untouched.

    Args:
        archive: the zip file. It is not trusted: only paths that ``names`` allows are written, and no more bytes than
            the archive states and the disk has.
        names: the needed names in the archive; the first group is the path below ``folder``. It allows no ``..``.
        folder: target folder, made if missing.

    Raises:
        DatasetError: the archive is damaged or another one, or the disk is too small. Files unpacked before stay.
        OSError: a file cannot be read or written.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            named = {match[1]: info for info in file.infolist() if (match := names.fullmatch(info.filename))}
            if not named:
                raise DatasetError(f"{archive}: none of the needed files is in it; this is another archive")
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


def _is_there(path: Path, info: zipfile.ZipInfo) -> bool:
    return path.is_file() and path.stat().st_size == info.file_size and zlib.crc32(path.read_bytes()) == info.CRC
