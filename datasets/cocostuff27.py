"""COCO-Stuff-27: COCO val2017 with the 182 things and stuff of COCO-Stuff joined to 27 classes.

The list evaluated since IIC and PiCIE is ``Coco164kFull_Stuff_Coarse_7.txt``, 2,175 pictures. Layout:

    val2017/ID.jpg                          pictures
    stuffthingmaps/val2017/ID.png           label maps: fine ids 0..181, 255 = unlabelled
    Coco164kFull_Stuff_Coarse_7.txt         the list (or under curated/val2017/, as in PiCIE)
    annotations/{instances,stuff}_val2017.json    the other source of labels
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from datasets.base import DatasetError, Sample
from datasets.class_table import ClassTable, class_table
from datasets.coco_json import UNPAINTED, CocoJson, paint, read_coco_json
from datasets.listing import ListedDataset
from datasets.reading import make_sample, read_image, read_label

OFFICIAL_LIST = "Coco164kFull_Stuff_Coarse_7.txt"
SPLIT = "val2017"


@dataclass(frozen=True)
class CocoStuff27(ListedDataset):
    """COCO-Stuff-27.

    Attributes:
        root: folder with the layout above.
        labels: "png" reads the stuffthingmaps; "json" paints the maps from COCO's annotations, which differs
            where instances overlap; "auto" takes the PNGs where their folder is there.
    """

    root: str | None
    labels: Literal["auto", "png", "json"] = "auto"

    name: ClassVar[str] = "cocostuff27"
    official_count: ClassVar[int | None] = 2175
    table: ClassVar[ClassTable] = class_table("cocostuff27")

    @property
    def label_source(self) -> str:
        """Either "stuffthingmaps" or "json"."""
        png = self.labels == "png" or (self.labels == "auto" and self._maps.is_dir())
        return "stuffthingmaps" if png else "json"

    def load(self, id: str) -> Sample:
        """Decodes a picture and its 27 classes. Raises `DatasetError` naming the file that cannot be used."""
        image_path, label_path = self._image_path(id), self._label_path(id)
        image = read_image(image_path)
        fine = read_label(label_path) if self.label_source == "stuffthingmaps" else self._painted(id)
        unknown = sorted(set(np.unique(fine).tolist()) - self.table.label_of.keys() - {UNPAINTED})
        if unknown:
            raise DatasetError(
                f"{label_path}: unknown class id {unknown[0]}; COCO-Stuff's stuffthingmaps hold 0..181 and "
                f"{UNPAINTED} (unlabelled): take the label maps from there"
            )
        return make_sample(id, image, self.table.labels(fine), image_path, label_path)

    def _painted(self, id: str) -> NDArray[np.uint8]:
        """Fine ids ``(h, w)`` painted from the annotations: stuff, then things over it as in the PNGs.

        Which of two overlapping things the PNGs have on top is not published; here it is the smaller one.
        """
        canvas = np.full(self._things.size(id), UNPAINTED, np.uint8)
        paint(canvas, self._stuff.of(id), self._stuff.path)
        paint(canvas, self._things.of(id), self._things.path, by_area=True)
        return canvas

    @cached_property
    def _things(self) -> CocoJson:
        return read_coco_json(self._annotations("instances"))

    @cached_property
    def _stuff(self) -> CocoJson:
        return read_coco_json(self._annotations("stuff"))

    def _pictures(self) -> set[str]:
        folder = self._folder / SPLIT
        pictures = {path.stem for path in folder.glob("*.jpg")}
        if not pictures:
            raise DatasetError(f"{folder}: no pictures (*.jpg) there; {self._where}")
        if self.label_source == "stuffthingmaps":
            if not self._maps.is_dir():
                raise DatasetError(f"{self._maps}: no label maps there; {self._where}")
        else:
            missing = [path for path in map(self._annotations, ("instances", "stuff")) if not path.is_file()]
            if missing:
                if self.labels == "auto":
                    raise DatasetError(f"{self._maps}: no label maps there; {self._where}")
                raise DatasetError(
                    f"{missing[0]}: the file is missing; get COCO's annotations with `make data-cocostuff "
                    f'DIR={self._folder} ARGS="--labels json"`, or use dataset.labels=png'
                )
        return pictures

    def _official_list(self) -> Path | None:
        places = (self._folder / OFFICIAL_LIST, self._folder / "curated" / SPLIT / OFFICIAL_LIST)
        return next((path for path in places if path.is_file()), None)

    def _image_path(self, id: str) -> Path:
        return self._folder / SPLIT / f"{id}.jpg"

    def _label_path(self, id: str) -> Path:
        return self._maps / f"{id}.png" if self.label_source == "stuffthingmaps" else self._annotations("instances")

    def state(self, id: str) -> str:
        # Painted labels come from two files, of which `_label_path` can name only one.
        stuff = "" if self.label_source == "stuffthingmaps" else f" {self._annotations('stuff').stat().st_size}"
        return super().state(id) + stuff

    def _annotations(self, what: str) -> Path:
        return self._folder / "annotations" / f"{what}_{SPLIT}.json"

    @property
    def _maps(self) -> Path:
        return self._folder / "stuffthingmaps" / SPLIT

    @property
    def _folder(self) -> Path:
        if not self.root:
            raise DatasetError(f"dataset.root: not set, but {self.name} lies in a folder; {self._where}")
        return Path(self.root).expanduser()

    @property
    def _where(self) -> str:
        root = self.root or "data/cocostuff"
        return (
            "get val2017 of COCO (cocodataset.org) and the stuffthingmaps of COCO-Stuff (nightrome/cocostuff) "
            f"with `make data-cocostuff DIR={root}`, then give dataset.root={root}"
        )
