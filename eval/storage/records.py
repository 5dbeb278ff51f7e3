"""Reads and writes the records of a run or sweep: a file of JSON lines, one line for each evaluated image and row.

Two kinds of line::

    {"type": "row", "key": K, "settings": {...}}               once, before the first image of that row
    {"type": "image", "key": K, "image": id, "status": "ok", "segments": n, "table": {...}, "device": "cpu",
     "dtype": "float32", "seconds": {"attention": x, "segment": y}, ...}
    {"type": "image", "key": K, "image": id, "status": "failed", "reason": "..."}

``table`` is the contingency table of the image (`eval.scores.SparseTable`), from which every score is computed. All
other files of a run are computed from the records. If an image and row have several records, the newest counts.

If several processes share a run, process 0 appends to ``records.jsonl``, process 1 to ``records.1.jsonl``, and so on.
Process 0 merges these files into the first when all processes have ended, or when the next run opens the folder.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from eval.settings import normalise, row_key
from eval.storage.files import write_text, writing
from eval.storage.locks import Locked, lock_path, locked

Record = Mapping[str, Any]
STATUSES = ("ok", "failed")
OLDER = "written by an older version of this project, and not changed; give this run another results_dir"

logger = logging.getLogger(__name__)


class RecordError(Exception):
    """Records cannot be used. The message names the file and line, the fault, and what to do."""


class RecordFile:
    """The records of a folder, locked for this process: ``with RecordFile(path) as records: ...``.

    Entering reads the file, and removes an incomplete last line that an interrupted run left.

    Args:
        path: the file. It and its folder are created if missing. The lock is the file ``.NAME.lock`` beside it.
        shard: number of this process among those that share the run. A process other than 0 reads ``path``, which must
            exist, and appends to ``records.SHARD.jsonl``.

    Raises:
        RecordError: on entering, if another run has locked the file, or a line before the last is damaged.
    """

    def __init__(self, path: Path | str, shard: int = 0) -> None:
        self.main = Path(path)
        self.path = self.main.with_suffix(f".{shard}{self.main.suffix}") if shard else self.main
        self.rows: dict[str, Mapping[str, Any]] = {}
        """Key -> settings of every row in the file."""
        self._lines: list[Record] = []
        self._images: dict[str, dict[str, Record]] = {}  # key -> image -> newest record

    @classmethod
    def read(cls, path: Path) -> RecordFile:
        """Reads the records of a file and of its shards, without locking or writing.

        Raises:
            OSError: the file cannot be read.
            RecordError: a line is damaged.
        """
        records = cls(path)
        for each in (path, *records._shards()):
            records._load(each)
        return records

    def __enter__(self) -> RecordFile:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(_exclusive(self.path))
            if self.path != self.main:
                self._load_main()
            self._open()
            stack.callback(lambda: self._file.close())
            self._size = self._load(self.path)  # bytes of whole records
            if self._size < self.path.stat().st_size:
                logger.warning("%s: removed an incomplete last line that an interrupted run left", self.path)
                self._file.truncate(self._size)
            if self.path == self.main:
                self.gather()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def declare(self, settings: Mapping[str, Any]) -> str:
        """Writes the line of a row unless the file has it. Returns the key of the row."""
        key = row_key(settings)
        self.append({"type": "row", "key": key, "settings": normalise(settings)})
        return key

    def append(self, record: Record) -> None:
        """Appends one line, and returns when it is on disk. A record that is already the newest is not added again.

        Raises:
            ValueError: not a record, a record before the line of its row, or a NaN or infinite number.
            WriteError: the line could not be written (full disk). The next append or the next opening removes an
                incomplete line.
        """
        self._check(record)
        if self._knows(record):
            return
        line = _line(record)
        with writing(self.path):
            self._file.truncate(self._size)
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        self._size += len(line)
        self._add(record)

    def gather(self, order: Iterable[tuple[str, str]] = ()) -> None:
        """Merges the files of other shards, and sorts the lines as a single uninterrupted process would write them.

        Args:
            order: (key, image) in the wanted order; image "" is the line of a row. Unlisted images come first, after
                the lines of their rows.

        Raises:
            RecordError: a process of an earlier run still writes to the file of a shard, or the file is damaged.
            WriteError: the file could not be written. All files are unchanged.
        """
        shards = self._shards()
        places = {pair: number for number, pair in reversed(list(enumerate(order)))}
        with ExitStack() as stack:
            for shard in shards:
                stack.enter_context(_exclusive(shard))
                self._load(shard)
            lines = sorted(self._lines, key=lambda record: self._place_of(record, places))
            if shards or lines != self._lines:
                self._rewrite(lines)
            for shard in shards:
                shard.unlink()
        for shard in shards:
            lock_path(shard).unlink(missing_ok=True)

    def _place_of(self, record: Record, places: Mapping[tuple[str, str], int]) -> int:
        """Place of a line in the sorted file. An unlisted image and the line of its row have -1, before all others."""
        key, image = record["key"], record.get("image", "")
        if not image and any((key, other) not in places for other in self._images.get(key, {})):
            return -1
        return places.get((key, image), -1)

    def _shards(self) -> list[Path]:
        """Files of the other processes, but not a user's copies, such as ``records.old.jsonl``."""
        name = re.compile(rf"{re.escape(self.main.stem)}\.\d+{re.escape(self.main.suffix)}")
        return sorted(path for path in self.main.parent.iterdir() if name.fullmatch(path.name))

    def images(self, key: str) -> set[str]:
        """Ids of the images with a record of a row."""
        return set(self._images.get(key, {}))

    def records(self, key: str, ids: Iterable[str]) -> list[Record]:
        """The newest records of a row in the order of ``ids``, without images that have no record."""
        images = self._images.get(key, {})
        return [images[image] for image in ids if image in images]

    def other_settings(self, keys: Collection[str]) -> list[Mapping[str, Any]]:
        """Settings of the rows in the file whose keys are not in ``keys``, oldest first."""
        return [settings for key, settings in self.rows.items() if key not in keys]

    def _open(self) -> None:
        # Unbuffered: a buffer would keep the rest of a failed write and write it later.
        self._file = self.path.open("ab", buffering=0)

    def _load(self, path: Path) -> int:
        """Adds the new records of a file to those in memory.

        Returns:
            Number of bytes of its complete lines. An interrupted run can leave an incomplete line after them.
        """
        *lines, torn = path.read_bytes().split(b"\n")
        if lines and not torn and not _is_json(lines[-1]):
            lines.pop()
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line.decode())
                if number == 1 and _is_older(record):
                    raise RecordError(f"{path}: {OLDER}")
                self._check(record)
            except ValueError as error:
                raise RecordError(
                    f"{path}: line {number} is damaged ({error}); remove that line (its image is then evaluated "
                    "again), or give this run another results_dir"
                ) from error
            if not self._knows(record):
                self._add(record)
        return sum(len(line) + 1 for line in lines)

    def _load_main(self) -> None:
        try:
            self._load(self.main)
        except FileNotFoundError:
            raise RecordError(
                f"{self.main}: not there, although the first process of this run has opened it; results_dir must be a "
                "folder that all machines share"
            ) from None

    def _rewrite(self, lines: list[Record]) -> None:
        text = b"".join(map(_line, lines)).decode()
        write_text(self.path, text)
        self._file.close()
        self._open()
        self._lines, self._size = lines, len(text)

    def _check(self, record: Any) -> None:
        """Raises ValueError if a record is incomplete, or comes before the line of its row."""
        match record:
            case {"type": "row", "key": str(), "settings": {}}:
                return
            case {"type": "image", "key": str(key), "image": str(), "status": str(status)} if status in STATUSES:
                if key not in self.rows:
                    raise ValueError(f"no row {key} before this image")
            case _:
                raise ValueError("not a record of a row or an image")

    def _knows(self, record: Record) -> bool:
        """True if the row is known, or if this record is the newest of its image."""
        if record["type"] == "row":
            return record["key"] in self.rows
        return self._images.get(record["key"], {}).get(record["image"]) == record

    def _add(self, record: Record) -> None:
        self._lines.append(record)
        if record["type"] == "row":
            self.rows[record["key"]] = record["settings"]
        else:
            self._images.setdefault(record["key"], {})[record["image"]] = record


def _line(record: Record) -> bytes:
    return json.dumps(record, allow_nan=False).encode() + b"\n"


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line.decode())
    except ValueError:
        return False
    return True


def _is_older(record: Any) -> bool:
    """True if the first line of a file is from an older version, which called a row a variant."""
    return isinstance(record, dict) and record.get("type") == "variant"


def check_version(path: Path) -> None:
    """Raises RecordError if an older version of this project wrote the records ``path``."""
    with path.open("rb") as file:
        first = file.readline()
    if _is_json(first) and _is_older(json.loads(first)):
        raise RecordError(f"{path}: {OLDER}")


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Context in which no other run can write to ``path``."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path))
        except Locked as owner:
            raise RecordError(
                f"{path}: another run ({owner}) is writing there; wait until it has ended, or give this run another "
                "results_dir"
            ) from None
        yield
