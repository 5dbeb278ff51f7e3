"""Base of all data sets in files: the list of pictures, its fingerprint, and pictures with their label maps."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from datasets.base import VOID, Dataset, DatasetError, Picture
from datasets.class_table import ClassTable
from diffseg.files.images import PhotoError
from diffseg.files.label_maps import number_text, read_label_map
from diffseg.files.paths import expanded
from diffseg.files.photographs import Photo, decode_photo
from diffseg.limits import Count

SHOWN = 10
"""Up to this number, ranges of values are listed in messages; more are counted."""


@contextmanager
def dataset_errors() -> Iterator[None]:
    """Turns the errors of the readers of pictures and label maps into `DatasetError`."""
    try:
        yield
    except PhotoError as error:
        raise DatasetError(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class ListedDataset(Dataset):
    """Pictures in files. Their list is made on first use and kept; building a data set reads nothing from the disk.

    Attributes:
        split_file: text file with one id per line; exactly these are evaluated. None: those of the published list, if
            it lies beside the data, else all pictures.
        limit: evaluate only this many pictures, from the start of the sorted list (>= 1). None: all.
    """

    split_file: str | None = None
    limit: Count | None = None

    ignored: ClassVar[Collection[int]] = ()
    """Void values of label maps that have no line in the table."""

    @property
    @abstractmethod
    def table(self) -> ClassTable:
        """The classes, and their values in the label files."""

    @abstractmethod
    def image_path(self, id: str) -> Path:
        """Path of a picture. The file may not exist."""

    @abstractmethod
    def label_path(self, id: str) -> Path:
        """Path of a picture's label file. The file may not exist."""

    @abstractmethod
    def _pictures(self) -> Collection[str]:
        """Ids of all existing pictures. Raises `DatasetError`, which says where to get the data, if there are none."""

    @property
    def official_list(self) -> Path | None:
        """Path of the published list of ids. None: no list lies beside the data."""
        return None

    @property
    def background(self) -> int | None:
        return None

    @property
    def classes(self) -> Sequence[str]:
        return self.table.names

    @property
    def void_source(self) -> str | None:
        return None if self.table.published else "the table of classes"

    @property
    def ids(self) -> tuple[str, ...]:
        return self.listed[: self.limit]

    @cached_property
    def listed(self) -> tuple[str, ...]:
        pictures = set(self._pictures())
        if self.split_file is not None:
            source = expanded(self.split_file)
            ids = read_ids(source)
            # The missing file of a picture: its labels if the picture exists, else the picture.
            files = ((self.image_path(id), self.label_path(id)) for id in sorted(ids - pictures))
            missing = [labels if image.is_file() else image for image, labels in files]
            _require(missing, f"{source} lists it", f"correct the list: its lines are ids such as {min(pictures)}")
        elif self.official_list is not None:
            ids = read_ids(self.official_list) & pictures
            if not ids:
                raise DatasetError(
                    f"{self.official_list}: none of its ids is among the {len(pictures)} pictures that are there; "
                    "name the pictures to evaluate with dataset.split_file"
                )
        else:
            ids = pictures
        self._check_listed(ids)
        return tuple(sorted(ids))

    def _check_listed(self, ids: Collection[str]) -> None:
        """Raises `DatasetError` if the labels of a listed picture are missing."""
        labels = (self.label_path(id) for id in sorted(ids))
        missing = [path for path in labels if not path.is_file()]
        _require(missing, "its picture is there", "leave the id out with dataset.split_file")

    def check(self) -> None:
        _ = self.listed

    @cached_property
    def fingerprint(self) -> str:
        table = [*self.table.names, *(f"{value} {label}" for value, label in self.table.label_of.items())]
        return hashlib.sha256("\n".join([self.name, self.label_source, *table, *self.listed]).encode()).hexdigest()

    def state(self, id: str) -> str:
        """Sizes of the files of a picture in bytes. A file can vanish during a run; `load` then says so."""
        return " ".join(str(path.stat().st_size) if path.exists() else "missing" for path in self._files(id))

    def _files(self, id: str) -> list[Path]:
        """The files of a picture and its labels."""
        return [self.image_path(id), self.label_path(id)]

    @dataset_errors()
    def load(self, id: str) -> Picture:
        """Decodes a picture and its truth. Raises `DatasetError`, which names the file that cannot be used."""
        for path in (self.image_path(id), self.label_path(id)):
            if not path.is_file():
                raise DatasetError(f"{path}: the file is missing; unpack or copy it again")
        return self._load(id)

    def _load(self, id: str) -> Picture:
        """Decodes a picture and its classes. Raises `DatasetError` and PhotoError."""
        values = self._values(id)
        photo = self._photo(id, (values.shape[0], values.shape[1]))
        (label, pixels), label_of = self.table.read(values), self.table.label_of
        unknown = [value for value in pixels if value not in label_of and value not in self.ignored]
        if unknown:
            most = max(unknown, key=lambda value: pixels[value])
            others = f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            raise DatasetError(
                f"{self.label_path(id)}: unknown class id {number_text(most)} ({pixels[most] / values.size:.2%} of its "
                f"pixels{others}); the classes and void of {self.name} are {_shown([*label_of, *self.ignored])}; "
                f"{self._remedy(id)}"
            )
        image = photo.pixels
        if image.shape[:2] != label.shape:
            (height, width), (label_height, label_width) = image.shape[:2], label.shape
            raise DatasetError(
                f"{self.image_path(id)} is {width} x {height} pixels but its labels in {self.label_path(id)} are "
                f"{label_width} x {label_height}; take both from the same release of the data, or resize the label map"
            )
        if not (label != VOID).any():
            raise DatasetError(
                f"{self.label_path(id)}: no pixel of {id} has a class, so nothing can be scored; "
                "leave the id out with dataset.split_file"
            )
        unscored = {value: count for value, count in pixels.items() if label_of.get(value, VOID) == VOID}
        return Picture(id, image, label, unscored=unscored, remarks=photo.remarks)

    def _values(self, id: str) -> NDArray[np.integer]:
        """Decodes the values of the picture's label map: ``(h, w)``."""
        return read_label_map(self.label_path(id))

    def _photo(self, id: str, shape: tuple[int, int]) -> Photo:
        """Decodes the picture; ``shape`` is the height and width of its label map."""
        # Published truth is aligned with the stored pixels, so a picture is not turned as its EXIF data say.
        return decode_photo(self.image_path(id), upright=False)

    def _remedy(self, id: str) -> str:
        """Advice for a label map with an unknown value."""
        return "unpack or convert them again"


def _require(missing: Sequence[Path], because: str, remedy: str) -> None:
    """Raises `DatasetError` if files are missing."""
    if missing:
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DatasetError(f"{missing[0]}: the file is missing, though {because}{others}; restore it, or {remedy}")


def _shown(values: Iterable[int]) -> str:
    """Values that a label map may hold, for messages: ``0..20, 255``."""
    ranges: list[tuple[int, int]] = []
    for value in sorted(values):
        first = ranges.pop()[0] if ranges and ranges[-1][1] == value - 1 else value
        ranges.append((first, value))
    texts = [
        number_text(first) if first == last else f"{number_text(first)}..{number_text(last)}" for first, last in ranges
    ]
    return ", ".join(texts[:SHOWN]) + (f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")


def read_ids(path: Path) -> set[str]:
    """Reads a list of ids, one a line. Blank lines, repetitions and spaces around an id are ignored.

    Raises `DatasetError` if the file is missing, is not UTF-8 text, or lists no id.
    """
    try:
        # Editors on Windows write a byte order mark, which utf-8-sig skips.
        ids = {line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()} - {""}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DatasetError(
            f"{path}: the list of ids cannot be read ({reason}); give a text file, one id per line"
        ) from error
    if not ids:
        raise DatasetError(f"{path}: the list of ids is empty; give a text file, one id per line")
    return ids
