"""The user's pictures and label maps as a data set. The configuration describes it; no code is needed.

    dataset=folder dataset.images=DIR dataset.maps=DIR dataset.classes=FILE.csv dataset.void=[255]

A picture ``DIR/in/a.jpg`` has the id ``in/a`` and the label map ``in/a.png`` (or another suffix) below the folder of
the maps. The CSV file has a line for each value in the label maps (`datasets.class_table.read_class_table`). A list of
names, ``dataset.classes=[road,sky]``, names the values 0, 1, ... ``dataset.maps=FILE.json`` paints the maps from
annotations in COCO's format.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.base import VOID, DatasetError
from datasets.class_table import HEADER, ClassTable, read_class_table, table_of_names
from datasets.coco_json import CocoJson, read_coco_json
from datasets.files import find_files, warn_once
from datasets.listing import ListedDataset
from diffseg.files.images import PhotoError
from diffseg.files.label_maps import ARRAY, number_text, read_label_map
from diffseg.files.paths import expanded
from diffseg.files.photographs import Photo, decode_photo
from diffseg.files.remarks import Remark
from diffseg.files.writing import sha256_of

KEYS = {"images": "DIR", "maps": "DIR", "classes": f"FILE.csv (with {HEADER}) or a list of names"}
"""Keys that the user must set -> their values."""
DEFAULT_VOID = (255,)
UNPAINTED = -1
"""Value of a pixel without an annotation in a JSON file."""
UNPACKED = (".bmp", ".dib", ".pgm", ".pnm", ".ppm", ".sgi", ".tga", ".tif", ".tiff")
"""Suffixes of pictures that are usually not compressed, so that all of one shape have the same size."""
TURNED = (
    "turned upright as EXIF says; the shape of the maps does not show whether they are upright, too: if they were "
    "drawn on the stored pixels, remove the orientation from the pictures"
)


@dataclass(frozen=True, eq=False)
class FolderDataset(ListedDataset):
    """Pictures and label maps of the user.

    Building the data set reads only the classes: the CSV file, and the JSON file of the annotations.

    Attributes:
        images: folder of the pictures, with sub-folders, in any format that Pillow reads.
        maps: folder of the label maps (`diffseg.files.label_maps`), or a JSON file of annotations in COCO's format,
            whose values are the category ids, and -1 where nothing is annotated.
        classes: path of a CSV file, or names (of the values 0, 1, ...; with a JSON file, of its categories, default
            all). After construction: the names; the position is the label.
        void: values in the label maps that are not scored, whatever ``classes`` says. None: 255, unless it is a class.
        background: label of the class that holds everything else and may take many segments. None: no such class.
        name: name of the data set in the tables.
    """

    images: str | None = None
    maps: str | None = None
    classes: str | tuple[Any, ...] = ()
    void: tuple[int, ...] | None = None
    background: int | None = None
    name: str = "folder"

    official_count: ClassVar[int | None] = None
    label_source: ClassVar[str] = "maps"

    def __post_init__(self) -> None:
        if not self.name.strip() or "\n" in self.name:
            raise ValueError(f"name: must be a word for the tables, got {self.name!r}")
        try:
            named = self._read_classes()
            table = named.without(self.void or ())
            if named.names and not table.names:
                raise ValueError("dataset.void leaves no class")
        except ValueError as error:
            raise ValueError(f"classes: {error}") from error
        background = self.background
        if background is not None:
            if not 0 <= background < len(named.names):
                raise ValueError(f"background: must be a label, 0..{len(named.names) - 1}, or null, got {background}")
            name = named.names[background]
            if name not in table.names:
                raise ValueError(f"background: the class {name} is not scored, because its values are in dataset.void")
            background = table.names.index(name)
        void = (*(DEFAULT_VOID if self.void is None else ()), *((UNPAINTED,) if self._json else ()))
        dropped = [value for value in self.void or () if named.label_of.get(value, VOID) != VOID]
        # The dataclass is frozen, but number and names of the classes are needed before the first picture.
        self.__dict__.update(
            background=background,
            classes=table.names,
            _source=self.classes if isinstance(self.classes, str) else None,
            _dropped=[f"{number_text(value)} ({named.names[named.label_of[value]]})" for value in dropped],
            _table=ClassTable(table.names, {**dict.fromkeys(void, VOID), **table.label_of}),
        )

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
            return read_class_table(expanded(self.classes))
        for name in self.classes:
            if not isinstance(name, str):
                shown = "null" if name is None else str(name).lower() if isinstance(name, bool) else str(name)
                raise ValueError(f"{shown} is no text; quote it: dataset.classes=['{shown}', ...]")
        if self._json:
            return _table_of_categories(self._json, self.classes)
        # Without names, `check` asks for them.
        return table_of_names(self.classes) if self.classes else ClassTable((), {})

    @property
    def table(self) -> ClassTable:
        table: ClassTable = self.__dict__["_table"]
        return table

    @property
    def void_source(self) -> str:
        """The settings that decide which values are not scored."""
        source: str | None = self.__dict__["_source"]
        return f"dataset.void, or label -1 in {Path(source).name}" if source else "dataset.void"

    def image_path(self, id: str) -> Path:
        return self._images.get(id) or self._path("images") / id

    def label_path(self, id: str) -> Path:
        """Path of a picture's label map, or of the file of annotations. The file may not exist."""
        return self._label_maps.get(id) or (self._path("maps") if self._json else self._path("maps") / f"{id}.png")

    def state(self, id: str) -> str:
        """Sizes of a picture's files, and sha256 of those whose size does not show a change of their pixels."""
        image = self.image_path(id)
        hashed = [self.label_path(id), *([image] if image.suffix.lower() in UNPACKED else [])]
        return " ".join([super().state(id), *(sha256_of(path) for path in hashed if path.is_file())])

    def _photo(self, id: str, shape: tuple[int, int]) -> Photo:
        """The picture as stored if its label map has that shape; otherwise turned upright as its EXIF data say."""
        path = self.image_path(id)
        photo = decode_photo(path)
        if photo.turned and photo.pixels.shape[:2] == photo.stored:
            return Photo(photo.pixels, photo.stored, True, (*photo.remarks, Remark(TURNED)))
        return decode_photo(path, upright=False) if photo.turned and shape == photo.stored else photo

    def _values(self, id: str) -> NDArray[np.integer]:
        if self._json:
            canvas = np.full(self._json.size(id), UNPAINTED, np.int32)
            self._json.paint(canvas, id, by_area=True, value_of=self._json.category)
            return canvas
        try:
            return read_label_map(self.label_path(id), self.table.colours)
        except PhotoError as error:
            swapped = self._swapped(id)
            raise DatasetError(f"{error}; {swapped}" if swapped else str(error)) from error

    def _remedy(self, id: str) -> str:
        return self._swapped(id) or "correct the map, or name the value in dataset.classes or dataset.void"

    def _swapped(self, id: str) -> str | None:
        """A hint if the picture of an unusable label map is a label map itself."""
        try:
            values = read_label_map(self.image_path(id), self.table.colours)
        except PhotoError:
            return None
        if self.table.read(values)[1].keys() - self.table.label_of.keys():
            return None
        return f"{self.image_path(id)} is a label map: dataset.images and dataset.maps look swapped"

    def _pictures(self) -> Collection[str]:
        """Ids of the pictures with a label map. A warning counts the other files and names one."""
        if unset := [f"{key}={advice}" for key, advice in KEYS.items() if not getattr(self, key)]:
            raise DatasetError(f"dataset=folder: these keys are not set: dataset.{', dataset.'.join(unset)}")
        folder = self._path("maps")
        if folder.exists() and self._path("images").exists() and folder.samefile(self._path("images")):
            raise DatasetError(
                f"{folder}: holds pictures and label maps, and a file cannot be both; put the label maps into a folder "
                "of their own, each with the name of its picture (p0.png for p0.jpg)"
            )
        images, maps = self._images, self._label_maps
        if not images:
            raise DatasetError(f"{self._path('images')}: no pictures there; give their folder as dataset.images=DIR")
        if not maps:
            missing = f"no picture such as {min(images)} in it" if self._json else "no label maps there"
            raise DatasetError(f"{folder}: {missing}; give their folder as dataset.maps=DIR")
        pairs = images.keys() & maps.keys()
        if not pairs:
            raise DatasetError(
                f"{folder}: none of the {len(maps)} label maps, such as {min(maps)}, has the name of a picture, such "
                f"as {min(images)}; name each map like its picture, with the same sub-folders"
            )
        kinds = (("pictures without a label map", images), ("label maps without a picture", maps))
        lonely = [(kind, files.keys() - pairs) for kind, files in kinds]
        if lines := [f"{kind}, left out: {len(ids)}, such as {min(ids)}" for kind, ids in lonely if ids]:
            warn_once(f"{self.name}: {'; '.join(lines)}")
        if dropped := self.__dict__["_dropped"]:
            warn_once(f"{self.name}: not scored, because dataset.void lists it: {', '.join(dropped)}")
        return pairs

    @cached_property
    def _images(self) -> Mapping[str, Path]:
        """Id -> picture."""
        return find_files(self._path("images"), suffixes(), nested=True, warn=True)

    @cached_property
    def _label_maps(self) -> Mapping[str, Path]:
        """Id -> label map."""
        if self._json:
            return {id: self._json.path for id in self._images if self._json.knows(id)}
        return find_files(self._path("maps"), (*suffixes(), ARRAY), nested=True)

    @cached_property
    def _json(self) -> CocoJson | None:
        """The annotations if ``maps`` is a JSON file."""
        if self.maps is None or not self.maps.lower().endswith(".json"):
            return None
        path = self._path("maps")
        if not path.is_file():
            raise DatasetError(f"{path}: the file is missing; give a folder or a JSON file as dataset.maps")
        return _annotations(path, sha256_of(path))

    def _path(self, key: str) -> Path:
        return expanded(getattr(self, key) or "")


@cache
def suffixes() -> tuple[str, ...]:
    """Suffixes of the formats that Pillow reads."""
    Image.init()
    return tuple(suffix for suffix, format in Image.registered_extensions().items() if format in Image.OPEN)


@cache  # a run builds its data set several times
def _annotations(path: Path, sha256: str) -> CocoJson:
    return read_coco_json(path)


def _table_of_categories(annotations: CocoJson, names: tuple[str, ...]) -> ClassTable:
    """The named categories of a file, or all in the order of their ids. Categories of one name are one class."""
    known = annotations.categories
    chosen = list(names or dict.fromkeys(known[id] for id in sorted(known)))
    if unknown := [name for name in chosen if name not in known.values()]:
        shown = ", ".join(list(dict.fromkeys(known.values()))[:10]) or "none"
        raise ValueError(f"{unknown[0]} is no category of {annotations.path}; categories: {shown}")
    if not chosen:
        raise ValueError(f"{annotations.path} has no categories; give dataset.classes=FILE.csv with their ids as value")
    label_of = {id: chosen.index(name) if name in chosen else VOID for id, name in known.items()}
    return ClassTable(table_of_names(chosen).names, label_of)
