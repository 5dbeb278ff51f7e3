"""The user's two folders, pictures and label maps, as a data set. The configuration describes it; no code is needed.

    dataset=folder dataset.images=DIR dataset.maps=DIR dataset.classes=FILE.csv dataset.void=[255]

A picture ``DIR/in/a.jpg`` has the id ``in/a`` and the label map ``in/a.png`` (or another suffix) below the folder of
the maps. The CSV file has a line for each value in the label maps: ``value,label,name``, with label -1 for void. A list
of names, ``dataset.classes=[road,sky]``, names the values 0, 1, ...
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.base import VOID, DatasetError, expanded
from datasets.class_table import HEADER, ClassTable, read_class_table, table_of_names
from datasets.files import find_files, warn_once, warn_skipped
from datasets.paired import PairedFiles
from datasets.reading import image_size, read_any_label, read_image

ARRAY = ".npy"
KEYS = {"images": "DIR", "maps": "DIR", "classes": f"FILE.csv (with {HEADER}) or a list of names"}
"""Keys that the user must set -> their values."""


@dataclass(frozen=True, eq=False)
class FolderDataset(PairedFiles):
    """Pictures and label maps of the user.

    Building the data set reads only the CSV file of the classes.

    Attributes:
        images: folder of the pictures, with sub-folders, in any format that Pillow reads.
        maps: folder of the label maps: one channel of 8, 16 or 32 bits, a palette, or NumPy's ``.npy``.
        classes: path of a CSV file, or names. After construction: the names; the position is the label.
        void: values in the label maps that are not scored. The CSV file takes precedence.
        background: label of the class that holds everything else and may take many segments. None: no such class.
        name: name of the data set in the tables.
    """

    images: str | None = None
    maps: str | None = None
    classes: str | tuple[str, ...] = ()
    void: tuple[int, ...] = (255,)
    background: int | None = None
    name: str = "folder"

    official_count: ClassVar[int | None] = None
    label_source: ClassVar[str] = "maps"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name.strip() or "\n" in self.name:
            raise ValueError(f"name: must be a word for the tables, got {self.name!r}")
        try:
            table = self._read_classes()
        except ValueError as error:
            raise ValueError(f"classes: {error}") from error
        if self.background is not None and not 0 <= self.background < len(table.names):
            raise ValueError(f"background: must be a label, 0..{len(table.names) - 1}, or null, got {self.background}")
        # The dataclass is frozen, but number and names of the classes are needed before the first picture.
        object.__setattr__(self, "classes", table.names)
        object.__setattr__(self, "_table", table)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FolderDataset) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        """The settings, and the values of the classes, because these come from a file that can change."""
        return (*(getattr(self, field.name) for field in fields(self)), *sorted(self.table.label_of.items()))

    def _read_classes(self) -> ClassTable:
        if isinstance(self.classes, str):
            table = read_class_table(expanded(self.classes, "dataset.classes"))
        elif self.classes:
            table = table_of_names(self.classes)
        else:
            table = ClassTable((), {})  # `check` asks for them
        return ClassTable(table.names, {**dict.fromkeys(self.void, VOID), **table.label_of})

    @property
    def table(self) -> ClassTable:
        """The classes, and their values in the label maps."""
        table: ClassTable = self.__dict__["_table"]
        return table

    @property
    def values(self) -> str:
        """Values that a label map may hold, for messages."""
        known = sorted(self.table.label_of)
        shown = [str(value) for value in known[:10]]
        return ", ".join([*shown, f"... ({len(known)} values)"] if len(known) > len(shown) else shown)

    def image_path(self, id: str) -> Path:
        """Path of a picture. The file may not exist."""
        return self._images.get(id, self._folder("images") / id)

    def label_path(self, id: str) -> Path:
        """Path of a picture's label map. The file may not exist."""
        return self._label_maps.get(id, self._folder("maps") / f"{id}.png")

    def state(self, id: str) -> str:
        """Sizes of a picture's files, and sha256 of its label map, because arrays of one shape have the same size."""
        path, sizes = self.label_path(id), super().state(id)
        if not path.is_file():
            return sizes
        status = path.stat()
        return f"{sizes} {_sha256(path, status.st_size, status.st_mtime_ns)}"

    def _image(self, id: str) -> NDArray[np.uint8]:
        """The picture as stored if its label map has that shape; otherwise turned upright as its EXIF data say."""
        path = self.image_path(id)
        upright, stored = read_image(path, upright=True), image_size(path)
        if upright.shape[1::-1] != stored and self._values(id).shape[::-1] == stored:
            return read_image(path)
        return upright

    def _values(self, id: str) -> NDArray[np.integer]:
        return read_any_label(self.label_path(id))

    @property
    def _remedy(self) -> str:
        return "correct the map, or name the value in dataset.classes or dataset.void"

    def _pictures(self) -> Collection[str]:
        """Ids of the pictures with a label map. A warning counts the other files and names one."""
        if unset := [f"{key}={advice}" for key, advice in KEYS.items() if not getattr(self, key)]:
            raise DatasetError(f"dataset=folder: these keys are not set: dataset.{', dataset.'.join(unset)}")
        images, maps = self._images, self._label_maps
        for key, found, what in (("images", images, "pictures"), ("maps", maps, "label maps")):
            if not found:
                raise DatasetError(f"{self._folder(key)}: no {what} there; give their folder as dataset.{key}=DIR")
        pairs = images.keys() & maps.keys()
        if not pairs:
            raise DatasetError(
                f"{self._folder('maps')}: none of the {len(maps)} label maps, such as {_first(maps)}, has the name of "
                f"a picture, such as {_first(images)}; name each map like its picture"
            )
        lonely = [
            f"{kind}, left out: {len(ids)}, such as {min(ids)}"
            for kind, ids in (
                ("pictures without a label map", images.keys() - pairs),
                ("label maps without a picture", maps.keys() - pairs),
            )
            if ids
        ]
        if lonely:
            warn_once(f"{self.name}: {'; '.join(lonely)}")
        return pairs

    @cached_property
    def _images(self) -> Mapping[str, Path]:
        """Id -> picture."""
        found = find_files(self._folder("images"), suffixes(), nested=True)
        warn_skipped(self._folder("images"), found.skipped)
        return found.paths

    @cached_property
    def _label_maps(self) -> Mapping[str, Path]:
        """Id -> label map."""
        return find_files(self._folder("maps"), (*suffixes(), ARRAY), nested=True).paths

    def _folder(self, key: str) -> Path:
        return expanded(getattr(self, key) or "", f"dataset.{key}")


@cache
def suffixes() -> tuple[str, ...]:
    """Suffixes of the formats that Pillow reads."""
    Image.init()
    return tuple(suffix for suffix, format in Image.registered_extensions().items() if format in Image.OPEN)


@cache  # called several times for each picture
def _sha256(path: Path, size: int, modified: int) -> str:
    """sha256 (hex) of a file. The file is read again only if its size or the time of its last change differs."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _first(files: Mapping[str, Path]) -> str:
    return files[min(files)].name
