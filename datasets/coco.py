"""COCO val2017 with the labels of COCO-Stuff, the base of COCO-Stuff-27 and COCO-Object. Both read this folder:

val2017/ID.jpg                                pictures
stuffthingmaps/val2017/ID.png                 label maps: fine ids 0..181, 255 = unlabelled
annotations/{instances,stuff}_val2017.json    a second source of labels
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from datasets.base import DatasetError, Instances
from datasets.coco_json import UNPAINTED, CocoJson, read_coco_json
from datasets.listing import dataset_errors
from datasets.paired import PairedDataset

SPLIT = "val2017"
INSTANCES, STUFF = "instances", "stuff"


@dataclass(frozen=True)
class CocoVal2017(PairedDataset):
    """COCO val2017. Ids look like ``000000000139``.

    Attributes:
        labels: "png" reads the stuffthingmaps; "json" paints the label maps from COCO's annotations; "auto" takes the
            PNGs if their folder exists.
    """

    labels: Literal["auto", "png", "json"] = "auto"

    truths = ("classes", "instances")
    images = SPLIT
    maps = f"stuffthingmaps/{SPLIT}"
    usual_root = "data/cocostuff"
    how_to_get = (
        "get val2017 of COCO (cocodataset.org) and the stuffthingmaps of COCO-Stuff (nightrome/cocostuff) with "
        '`make data-cocostuff DIR={root}` (for dataset.labels=json, with ARGS="--labels json")'
    )
    painted: ClassVar[tuple[str, ...]]
    """Annotation files from which the labels are painted. Later files cover earlier ones; instances come last."""

    @property
    def label_source(self) -> str:
        """Either "stuffthingmaps" or "json"."""
        png = self.labels == "png" or (self.labels == "auto" and self._map_folder.is_dir())
        return "stuffthingmaps" if png else "json"

    def label_path(self, id: str) -> Path:
        """Path of the label map; if labels are painted, path of the file of instances. The file may not exist."""
        return super().label_path(id) if self.label_source == "stuffthingmaps" else self._json_path(INSTANCES)

    def _files(self, id: str) -> list[Path]:
        # Labels can be painted from two files. The last one is `label_path`.
        others = () if self.label_source == "stuffthingmaps" else self.painted[:-1]
        return [*super()._files(id), *map(self._json_path, others)]

    def _values(self, id: str) -> NDArray[np.integer]:
        """Fine ids of a picture, ``(h, w)``.

        COCO does not publish which of two overlapping things its PNGs show. Here the smaller one is shown.
        """
        if self.label_source == "stuffthingmaps":
            return super()._values(id)
        canvas = np.full(self._json[INSTANCES].size(id), UNPAINTED, np.uint8)
        for name in self.painted:
            self._json[name].paint(canvas, id, by_area=name == INSTANCES)
        return canvas

    @dataset_errors()
    def check_labels(self, id: str) -> None:
        if self.label_source == "stuffthingmaps":
            super().check_labels(id)
            return
        for source in self._json.values():
            self._check_size(id, source.path, source.size(id), "labels")

    def check_instances(self) -> None:
        self._check_file(self._json_path(INSTANCES))
        _ = self._instance_file

    @dataset_errors()
    def instances(self, id: str) -> Instances:
        """Objects with COCO's category ids, in the order of the annotations, crowds included. No pixel is void."""
        source = self._instance_file
        shape = source.size(id)
        self._check_size(id, source.path, shape)
        regions = list(source.regions(id, shape, source.category))
        return Instances(
            masks=np.array([coco_mask.decode(region) for _, _, region in regions], dtype=bool).reshape(-1, *shape),
            classes=np.array([category for category, _, _ in regions], dtype=np.int64),
            crowd=np.array([bool(annotation.get("iscrowd", 0)) for _, annotation, _ in regions], dtype=bool),
            void=np.zeros(shape, dtype=bool),
        )

    @cached_property
    def _instance_file(self) -> CocoJson:
        return read_coco_json(self._json_path(INSTANCES))

    @cached_property
    def _json(self) -> dict[str, CocoJson]:
        return {name: read_coco_json(self._json_path(name)) for name in self.painted}

    def _check_labels(self) -> None:
        if self.label_source == "stuffthingmaps":
            super()._check_labels()
            return
        for path in map(self._json_path, reversed(self.painted)):
            if not path.is_file():
                missing = f"{self._map_folder}: no label maps" if self.labels == "auto" else f"{path}: no labels"
                raise DatasetError(f"{missing} there; {self._instructions}")
        _ = self._json  # reports a damaged file now, instead of once for each picture

    def _json_path(self, name: str) -> Path:
        return self._folder / "annotations" / f"{name}_{SPLIT}.json"
