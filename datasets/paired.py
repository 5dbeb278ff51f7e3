"""Base of data sets that have a folder of pictures and a folder of label maps with the same names."""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from datasets.base import VOID, DatasetError, Picture
from datasets.class_table import ClassTable
from datasets.files import FoundFiles, find_files, warn_skipped
from datasets.listing import ListedDataset
from datasets.reading import join_picture, read_label, read_photo
from diffseg.image_files import Photo
from diffseg.label_maps import number_text
from diffseg.paths import expanded


@dataclass(frozen=True)
class PairedFiles(ListedDataset):
    """A picture file and a label map file for each id."""

    ignored: ClassVar[Collection[int]] = ()
    """Void values that have no line in the table."""

    def load(self, id: str) -> Picture:
        """Decodes a picture and its classes. Raises `DatasetError`, which names the file that cannot be used."""
        image_path, label_path = self.image_path(id), self.label_path(id)
        if not image_path.is_file():
            raise DatasetError(f"{image_path}: the file is missing; unpack or copy it again")
        values = self._values(id)
        photo = self._photo(id, (values.shape[0], values.shape[1]))
        pixels, label_of = self.table.count(values), self.table.label_of
        if unknown := [value for value in pixels if value not in label_of and value not in self.ignored]:
            raise DatasetError(
                f"{label_path}: unknown class id {self._unknown(unknown, pixels)}; the classes and void of {self.name} "
                f"are {self.values}; {self._remedy(id)}"
            )
        unscored = {value: count for value, count in pixels.items() if label_of.get(value, VOID) == VOID}
        label = self.table.labels(values)
        return join_picture(id, photo.pixels, label, image_path, label_path, unscored, photo.remarks)

    @staticmethod
    def _unknown(unknown: Sequence[int], pixels: Mapping[int, int]) -> str:
        """The most frequent unknown value, its share of the pixels, and the number of others, for messages."""
        most = max(unknown, key=lambda value: pixels[value])
        others = f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        return f"{number_text(most)} ({pixels[most] / sum(pixels.values()):.2%} of its pixels{others})"

    @property
    @abstractmethod
    def values(self) -> str:
        """Values that a label map may hold, for messages."""

    def _remedy(self, id: str) -> str:
        """Advice for a label map with an unknown value."""
        return "unpack or convert them again"

    def _photo(self, id: str, shape: tuple[int, int]) -> Photo:
        """Decodes the picture; ``shape`` is the height and width of its label map."""
        return read_photo(self.image_path(id))

    @abstractmethod
    def _values(self, id: str) -> NDArray[np.integer]:
        """Decodes the values of the picture's label map: ``(h, w)``."""


@dataclass(frozen=True)
class PairedDataset(PairedFiles):
    """``IMAGES/ID.jpg`` and ``MAPS/ID.png`` below one folder.

    Attributes:
        root: folder with the layout that the data set's module shows.
    """

    root: str | None

    name: ClassVar[str]
    table: ClassVar[ClassTable]

    images: ClassVar[str]
    """Folder of the pictures, below ``root``."""
    maps: ClassVar[str]
    """Folder of the label maps, below ``root``."""
    values: ClassVar[str]
    image_endings: ClassVar[tuple[str, ...]] = (".jpg", ".jpeg")
    """Endings of a picture's name after the id; the first one is used in messages."""
    map_ending: ClassVar[str] = ".png"
    """Ending of a label map's name after the id."""
    nested: ClassVar[bool] = False
    """True if the files lie in sub-folders, see `_place`."""
    split_list: ClassVar[str | None] = None
    """The published list of ids, below ``root``; None: all pictures of the folder are the split."""
    usual_root: ClassVar[str]
    how_to_get: ClassVar[str]
    """Instructions to get the data into ``{root}``, for messages."""

    def image_path(self, id: str) -> Path:
        """Path of a picture. The file may not exist."""
        return self._images.get(id, self._image_folder / f"{self._place(id)}{self.image_endings[0]}")

    def label_path(self, id: str) -> Path:
        """Path of a picture's label map. The file may not exist."""
        return self._label_maps.get(id, self._map_folder / f"{self._place(id)}{self.map_ending}")

    def _place(self, id: str) -> str:
        """Path of a file below its folder, without the ending; its last part is the id."""
        return id

    def _values(self, id: str) -> NDArray[np.integer]:
        return read_label(self.label_path(id))

    def _pictures(self) -> Collection[str]:
        if not self._images:
            raise DatasetError(
                f"{self._image_folder}: no pictures (*{self.image_endings[0]}) there; {self._instructions}"
            )
        self._check_labels()
        return self._images.keys()

    def _check_labels(self) -> None:
        """Raises `DatasetError` if the folder of labels or the list of the split is missing."""
        if not self._map_folder.is_dir():
            raise DatasetError(f"{self._map_folder}: no label maps there; {self._instructions}")
        split = self._official_list()
        if split is not None and self.split_file is None and not split.is_file():
            raise DatasetError(f"{split}: the list of the split is missing; {self._instructions}")

    def _official_list(self) -> Path | None:
        return None if self.split_list is None else self._folder / self.split_list

    @cached_property
    def _images(self) -> dict[str, Path]:
        """Id -> picture."""
        found = find_files(self._image_folder, self.image_endings, self.nested)
        warn_skipped(self._image_folder, found.skipped)
        return _by_name(found)

    @cached_property
    def _label_maps(self) -> dict[str, Path]:
        """Id -> label map."""
        return _by_name(find_files(self._map_folder, (self.map_ending,), self.nested))

    @property
    def _image_folder(self) -> Path:
        return self._folder / self.images

    @property
    def _map_folder(self) -> Path:
        return self._folder / self.maps

    @property
    def _folder(self) -> Path:
        if not self.root:
            raise DatasetError(f"dataset.root: not set, but {self.name} lies in a folder; {self._instructions}")
        return expanded(self.root)

    @property
    def _instructions(self) -> str:
        root = self.root or self.usual_root
        given = shlex.quote(f"dataset.root={root}")
        return f"{self.how_to_get.format(root=shlex.quote(root))}, then give {given}"


def _by_name(found: FoundFiles) -> dict[str, Path]:
    """Id -> file; the id is the file's name without sub-folders."""
    return {id.rpartition("/")[2]: path for id, path in found.paths.items()}
