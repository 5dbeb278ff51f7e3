"""Base of all data sets: lists the pictures to evaluate, and computes the fingerprint of the list."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from datasets.base import Dataset, DatasetError
from datasets.class_table import ClassTable
from datasets.reading import read_ids
from diffseg.paths import expanded


@dataclass(frozen=True, kw_only=True)
class ListedDataset(Dataset):
    """Pictures in files. Their list is made on first use and kept; building a data set reads nothing from the disk.

    Attributes:
        split_file: text file with one id per line; exactly these are evaluated. None: those of the published list, if
            it lies beside the data, else all pictures.
        limit: evaluate only this many pictures, from the start of the sorted list (>= 1). None: all.
    """

    split_file: str | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit: must be 1 or more (or null for all), got {self.limit}")

    @property
    @abstractmethod
    def table(self) -> ClassTable:
        """The classes, and their values in the label files."""

    @property
    def background(self) -> int | None:
        return None

    @abstractmethod
    def _pictures(self) -> Collection[str]:
        """Ids of all existing pictures.

        Raises:
            DatasetError: no picture exists. The message says where to get the data.
        """

    @abstractmethod
    def image_path(self, id: str) -> Path:
        """Path of a picture. The file may not exist."""

    @abstractmethod
    def label_path(self, id: str) -> Path:
        """Path of a picture's label file. The file may not exist."""

    def _official_list(self) -> Path | None:
        """Path of the published list of ids. None: no list lies beside the data."""
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
            self._require(map(self._missing, sorted(ids - pictures)), f"{source} lists it")
        elif (official := self._official_list()) is not None:
            ids = read_ids(official) & pictures
            if not ids:
                raise DatasetError(
                    f"{official}: none of its ids is among the {len(pictures)} pictures that are there; "
                    "name the pictures to evaluate with dataset.split_file"
                )
        else:
            ids = pictures
        labels = (self.label_path(id) for id in sorted(ids))
        self._require((path for path in labels if not path.is_file()), "its picture is there")
        return tuple(sorted(ids))

    def _missing(self, id: str) -> Path:
        """The missing file of a picture: its labels if the picture exists, else the picture."""
        return self.label_path(id) if self.image_path(id).is_file() else self.image_path(id)

    def _require(self, missing: Iterable[Path], because: str) -> None:
        paths = list(missing)
        if paths:
            others = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
            raise DatasetError(
                f"{paths[0]}: the file is missing, though {because}{others}; restore it, "
                "or leave the id out with dataset.split_file"
            )

    def check(self) -> None:
        _ = self.listed

    @cached_property
    def fingerprint(self) -> str:
        table = [*self.table.names, *(f"{value} {label}" for value, label in self.table.label_of.items())]
        return hashlib.sha256("\n".join([self.name, self.label_source, *table, *self.listed]).encode()).hexdigest()

    def state(self, id: str) -> str:
        """Sizes of the files of a picture in bytes."""
        return " ".join(map(_size, self._files(id)))

    def _files(self, id: str) -> list[Path]:
        """The files of a picture and its labels."""
        return [self.image_path(id), self.label_path(id)]


def _size(path: Path) -> str:
    """Size of a file in bytes. A file can vanish during a run; `load` then says so."""
    return str(path.stat().st_size) if path.exists() else "missing"
