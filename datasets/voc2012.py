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

import numpy as np

from datasets.base import DatasetError, Instances
from datasets.class_table import class_table
from datasets.listing import dataset_errors
from datasets.paired import PairedDataset
from diffseg.files.label_maps import read_label_map

ARCHIVE_FOLDER = "VOCdevkit/VOC2012"
OBJECTS = f"{ARCHIVE_FOLDER}/SegmentationObject"
VOID_VALUE = 255


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

    @dataset_errors()
    def instances(self, id: str) -> Instances:
        """Objects with VOC's class numbers 1..20: the class of an object is that of most of its pixels.

        The outlines and the difficult objects, 255 in either map, are `Instances.void`.
        """
        path, classes_path = self._folder / OBJECTS / f"{id}.png", self.label_path(id)
        objects, classes = read_label_map(path), read_label_map(classes_path)
        self._check_size(id, path, objects.shape)
        self._check_size(id, classes_path, classes.shape)
        void = (objects == VOID_VALUE) | (classes == VOID_VALUE)
        objects = np.where(void, 0, objects)
        numbers = np.unique(objects[objects > 0])
        of_class = [np.bincount(classes[(objects == number) & (classes > 0)]) for number in numbers]
        for number, counts in zip(numbers, of_class, strict=True):
            if not counts.size:
                raise DatasetError(f"{path}: object {number} has no class in {classes_path}; unpack both again")
        return Instances(
            masks=objects == numbers[:, None, None],
            classes=np.array([counts.argmax() for counts in of_class], dtype=np.int64),
            crowd=np.zeros(len(numbers), dtype=bool),
            void=void,
        )
