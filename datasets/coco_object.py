"""COCO-Object: all 5,000 pictures of COCO val2017, its 80 things and background.

The field (GroupViT, TCL, DiffCut) takes the things of the stuffthingmaps of COCO-Stuff; stuff and unlabelled pixels
are background. DiffCut scores the 2,175 pictures of COCO-Stuff-27: ``dataset.split_file=`` with that list. Layout, as
for COCO-Stuff-27, so that both share a folder:

    val2017/ID.jpg                          pictures
    stuffthingmaps/val2017/ID.png           label maps: fine ids 0..181, 255 = unlabelled
    annotations/instances_val2017.json      the other source of labels
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from datasets.base import DatasetError
from datasets.class_table import ClassTable, class_table
from datasets.coco_json import UNPAINTED, CocoJson, paint, read_coco_json
from datasets.paired import PairedDataset

SPLIT = "val2017"
INSTANCES = f"annotations/instances_{SPLIT}.json"


@dataclass(frozen=True)
class CocoObject(PairedDataset):
    """COCO val2017 with 81 classes, the background among them. Ids look like ``000000000139``.

    Attributes:
        labels: "png" reads the stuffthingmaps; "json" paints the things from COCO's annotations, crowds like any
            other, the smaller of two overlapping ones on top, which may differ from the PNGs; "auto" takes the PNGs
            where their folder is there.
    """

    labels: Literal["auto", "png", "json"] = "auto"

    name: ClassVar[str] = "coco_object"
    official_count: ClassVar[int | None] = 5000
    table: ClassVar[ClassTable] = class_table("coco_object")
    background: ClassVar[int | None] = 0

    images: ClassVar[str] = SPLIT
    maps: ClassVar[str] = f"stuffthingmaps/{SPLIT}"
    values: ClassVar[str] = "COCO-Stuff's 0..181 and 255 (unlabelled), without the eleven things that COCO never had"
    usual_root: ClassVar[str] = "data/cocostuff"
    source: ClassVar[str] = (
        "get val2017 of COCO (cocodataset.org) and the stuffthingmaps of COCO-Stuff with `make data-cocostuff "
        'DIR={root}` (for dataset.labels=json, with ARGS="--labels json")'
    )

    @property
    def label_source(self) -> str:
        """Either "stuffthingmaps" or "json"."""
        png = self.labels == "png" or (self.labels == "auto" and self._maps.is_dir())
        return "stuffthingmaps" if png else "json"

    def _values(self, id: str) -> NDArray[np.uint8]:
        if self.label_source == "stuffthingmaps":
            return super()._values(id)
        canvas = np.full(self._things.size(id), UNPAINTED, np.uint8)
        paint(canvas, self._things.of(id), self._things.path, by_area=True)
        return canvas

    @cached_property
    def _things(self) -> CocoJson:
        return read_coco_json(self._folder / INSTANCES)

    def _check_labels(self) -> None:
        if self.label_source == "stuffthingmaps":
            super()._check_labels()
        elif not (self._folder / INSTANCES).is_file():
            missing = self._maps if self.labels == "auto" else self._folder / INSTANCES
            raise DatasetError(f"{missing}: no labels there; {self._where}")

    def _label_path(self, id: str) -> Path:
        return super()._label_path(id) if self.label_source == "stuffthingmaps" else self._folder / INSTANCES
