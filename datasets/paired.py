"""Base of data sets that have a folder of pictures and a folder of label maps with the same names."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from datasets.base import DatasetError
from datasets.class_table import ClassTable
from datasets.files import find_files
from datasets.listing import ListedDataset, dataset_errors
from diffseg.files.images import opened
from diffseg.files.paths import expanded


@dataclass(frozen=True)
class PairedDataset(ListedDataset):
    """``IMAGES/ID.jpg`` and ``MAPS/ID.png`` below one folder.

    Attributes:
        root: folder with the layout that the data set's module shows.
    """

    root: str | None

    name: ClassVar[str]
    table: ClassVar[ClassTable]

    images: ClassVar[str]
    """Folder of the pictures, below ``root``. A setting in braces, such as ``{split}``, stands for its value."""
    maps: ClassVar[str]
    """Folder of the label maps, below ``root``; see ``images``."""
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
        return self._images.get(id, self._image_folder / f"{self._place(id)}{self.image_endings[0]}")

    def label_path(self, id: str) -> Path:
        return self._label_maps.get(id, self._map_folder / f"{self._place(id)}{self.map_ending}")

    def _place(self, id: str) -> str:
        """Path of a file below its folder, without the ending; its last part is the id."""
        return id

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
        split = self.official_list
        if split is not None and self.split_file is None and not split.is_file():
            raise DatasetError(f"{split}: the list of the split is missing; {self._instructions}")

    @property
    def official_list(self) -> Path | None:
        return None if self.split_list is None else self._folder / self.split_list

    @cached_property
    def _images(self) -> dict[str, Path]:
        """Id -> picture."""
        return _by_name(find_files(self._image_folder, self.image_endings, self.nested, warn=True))

    @cached_property
    def _label_maps(self) -> dict[str, Path]:
        """Id -> label map."""
        return _by_name(find_files(self._map_folder, (self.map_ending,), self.nested))

    @property
    def _image_folder(self) -> Path:
        return self._folder / self.images.format_map(vars(self))

    @property
    def _map_folder(self) -> Path:
        return self._folder / self.maps.format_map(vars(self))

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

    def _check_file(self, path: Path) -> None:
        """Raises `DatasetError` if a file or folder of instances is missing."""
        if not path.exists():
            raise DatasetError(f"{path}: no instances there (protocol=instances needs them); {self._instructions}")

    @dataset_errors()
    def check_labels(self, id: str) -> None:
        """Raises `DatasetError` if a picture or its labels cannot be opened, or differ in size. Reads only headers."""
        path = self.label_path(id)
        with opened(path) as labels:
            width, height = labels.size
        self._check_size(id, path, (height, width), "labels")

    def _check_size(self, id: str, path: Path, shape: tuple[int, ...], truth: str = "instances") -> None:
        """Raises `DatasetError` if the truth, ``(height, width)`` as in its file, differs in size from the picture."""
        image_path = self.image_path(id)
        with opened(image_path) as image:
            width, height = image.size
        if shape != (height, width):
            raise DatasetError(
                f"{image_path} is {width} x {height} pixels but its {truth} in {path} are {shape[1]} x {shape[0]}; "
                "take both from the same release of the data"
            )


def _by_name(paths: dict[str, Path]) -> dict[str, Path]:
    """Id -> file; the id is the file's name without sub-folders."""
    return {id.rpartition("/")[2]: path for id, path in paths.items()}
