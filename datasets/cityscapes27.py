"""Cityscapes, official validation split, 27 classes: label ids 7..33, the rest void (as PiCIE and STEGO do).

Layout of the folder, as the official archives unpack:

    leftImg8bit/val/CITY/ID_leftImg8bit.png      pictures
    gtFine/val/CITY/ID_gtFine_labelIds.png       label maps
    gtFine/val/CITY/ID_gtFine_instanceIds.png    objects, for protocol=instances
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.base import Instances
from datasets.class_table import class_table
from datasets.listing import dataset_errors
from datasets.paired import PairedDataset
from diffseg.files.label_maps import read_label_map

FIRST_ID, LAST_ID = 7, 33
LICENSE_PLATE = 255  # -1 in an 8-bit file
IMAGE_SUFFIX = "_leftImg8bit.png"
LABEL_SUFFIX = "_gtFine_labelIds.png"
INSTANCE_SUFFIX = "_gtFine_instanceIds.png"
FIRST_OBJECT = 24  # person; the classes 24..33 are people and vehicles, which have instances
MANY = 1000  # an object has the value class * 1000 + its count; a smaller value is a class that stands for a region


@dataclass(frozen=True)
class Cityscapes27(PairedDataset):
    """Cityscapes with 27 classes. Ids look like ``frankfurt_000000_000294``."""

    name = "cityscapes27"
    truths = ("classes", "instances")
    official_count = 500
    label_source = "gtFine"
    table = class_table("cityscapes27")

    images = "leftImg8bit/val"
    maps = "gtFine/val"
    image_endings = (IMAGE_SUFFIX,)
    map_ending = LABEL_SUFFIX
    nested = True
    ignored = (*range(FIRST_ID), LICENSE_PLATE)
    usual_root = "data/cityscapes"
    how_to_get = (
        "download leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from cityscapes-dataset.com (free "
        "account) into {root}, unpack them with `make data-cityscapes DIR={root}`"
    )

    def _place(self, id: str) -> str:
        return f"{id.split('_')[0]}/{id}"

    def check_instances(self) -> None:
        self._check_file(self._instance_path(self.listed[0]))

    @dataset_errors()
    def instances(self, id: str) -> Instances:
        """Objects with Cityscapes' ids 24..33. Groups of objects under one outline are crowds."""
        path = self._instance_path(id)
        values = read_label_map(path).astype(np.int64)
        self._check_size(id, path, values.shape)
        objects = [value for value in np.unique(values) if value >= MANY or FIRST_OBJECT <= value <= LAST_ID]
        numbers = np.array(objects, dtype=np.int64)
        crowd = numbers < MANY
        return Instances(
            masks=values == numbers[:, None, None],
            classes=np.where(crowd, numbers, numbers // MANY),
            crowd=crowd,
            void=np.isin(values, self.ignored),
        )

    def _instance_path(self, id: str) -> Path:
        return self._map_folder / f"{self._place(id)}{INSTANCE_SUFFIX}"
