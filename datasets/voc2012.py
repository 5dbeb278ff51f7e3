"""PASCAL VOC 2012, segmentation ``val``: 1,449 pictures, 20 classes and background.

Layout of the folder, as the official archive unpacks:

    VOCdevkit/VOC2012/JPEGImages/ID.jpg                     pictures
    VOCdevkit/VOC2012/SegmentationClass/ID.png              label maps: palette index = class, 255 = void
    VOCdevkit/VOC2012/SegmentationObject/ID.png             number of each pixel's object, for protocol=instances
    VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt        the list

The void outlines are not scored, as in VOC's evaluation. DiffCut's public code counts them as background.
"""

from __future__ import annotations

from dataclasses import dataclass

from datasets.base import Instances
from datasets.class_table import class_table
from datasets.instances import voc_instances
from datasets.paired import PairedDataset

ARCHIVE_FOLDER = "VOCdevkit/VOC2012"
OBJECTS = f"{ARCHIVE_FOLDER}/SegmentationObject"


@dataclass(frozen=True)
class Voc2012(PairedDataset):
    """PASCAL VOC 2012 with 21 classes, including the background. Ids look like ``2007_000033``."""

    name = "voc2012"
    truths = ("classes", "instances")
    official_count = 1449
    label_source = "SegmentationClass"
    table = class_table("voc2012")
    background = 0

    images = f"{ARCHIVE_FOLDER}/JPEGImages"
    maps = f"{ARCHIVE_FOLDER}/SegmentationClass"
    split_list = f"{ARCHIVE_FOLDER}/ImageSets/Segmentation/val.txt"
    usual_root = "data/voc"
    how_to_get = (
        "download VOCtrainval_11-May-2012.tar (2 GB) from host.robots.ox.ac.uk/pascal/VOC/voc2012, unpack it in {root}"
    )

    def check_instances(self) -> None:
        self._check_file(self._folder / OBJECTS)

    def instances(self, id: str) -> Instances:
        """Objects with VOC's class numbers 1..20. The void outlines are `Instances.void`."""
        return voc_instances(self._folder / OBJECTS / f"{id}.png", self.label_path(id), self.image_path(id))
