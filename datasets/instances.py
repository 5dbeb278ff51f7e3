"""Decodes the objects of a picture, for `datasets.base.Dataset.instances` of PASCAL VOC, Cityscapes and COCO."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from datasets.base import DatasetError, Instances
from datasets.coco_json import CocoJson
from datasets.listing import dataset_errors
from diffseg.image_files import opened
from diffseg.label_maps import read_label_map

VOC_VOID = 255
"""Value of VOC's outlines and of its difficult objects, in both label maps."""

CITYSCAPES_MANY = 1000
"""Cityscapes numbers an object class * 1000 + its count; a smaller value is a class that stands for a region."""


@dataset_errors()
def voc_instances(objects_path: Path, classes_path: Path, image_path: Path) -> Instances:
    """Objects of a picture of PASCAL VOC.

    Args:
        objects_path: label map of ``SegmentationObject``: 0 is the background, 255 void.
        classes_path: label map of ``SegmentationClass``, of the same size: the class of an object is that of most of
            its pixels.
        image_path: the picture, for its size.

    Raises:
        DatasetError: a file is missing or damaged, the sizes differ, or an object has no class.
    """
    objects, classes = read_label_map(objects_path), read_label_map(classes_path)
    for path, labels in ((objects_path, objects), (classes_path, classes)):
        _check_size(path, labels.shape, image_path)
    void = (objects == VOC_VOID) | (classes == VOC_VOID)
    objects = np.where(void, 0, objects)
    numbers = np.unique(objects[objects > 0])
    of_class = [np.bincount(classes[(objects == number) & (classes > 0)]) for number in numbers]
    for number, counts in zip(numbers, of_class, strict=True):
        if not counts.size:
            raise DatasetError(f"{objects_path}: object {number} has no class in {classes_path}; unpack both again")
    return Instances(
        masks=objects == numbers[:, None, None],
        classes=np.array([counts.argmax() for counts in of_class], dtype=np.int64),
        crowd=np.zeros(len(numbers), dtype=bool),
        void=void,
    )


@dataset_errors()
def cityscapes_instances(path: Path, image_path: Path, groups: Collection[int], void: Collection[int]) -> Instances:
    """Objects of a picture of Cityscapes.

    Args:
        path: 16-bit label map ``*_gtFine_instanceIds.png``: an object has the value class * 1000 + its count; all other
            values are classes.
        image_path: the picture, for its size.
        groups: classes that have objects. A region with such a class and without a count is a group, a crowd.
        void: classes that are neither object nor background.

    Raises:
        DatasetError: the file is missing or damaged, or has another size than the picture.
    """
    values = read_label_map(path).astype(np.int64)
    _check_size(path, values.shape, image_path)
    numbers = np.array([n for n in np.unique(values) if n >= CITYSCAPES_MANY or n in groups], dtype=np.int64)
    crowd = numbers < CITYSCAPES_MANY
    return Instances(
        masks=values == numbers[:, None, None],
        classes=np.where(crowd, numbers, numbers // CITYSCAPES_MANY),
        crowd=crowd,
        void=np.isin(values, list(void)),
    )


@dataset_errors()
def coco_instances(source: CocoJson, id: str, image_path: Path) -> Instances:
    """Objects of a picture of COCO, in the order of the annotations; no pixel is void.

    Args:
        source: the file ``instances_*.json``. A class is the ``category_id`` of an annotation.
        id: the picture.
        image_path: the picture, for its size.

    Raises:
        DatasetError: the file does not know the picture or has another size for it, or an annotation cannot be read.
    """
    shape = source.size(id)
    _check_size(source.path, shape, image_path)
    regions = list(source.regions(id, shape, source.category))
    return Instances(
        masks=np.array([coco_mask.decode(region) for _, _, region in regions], dtype=bool).reshape(-1, *shape),
        classes=np.array([category for category, _, _ in regions], dtype=np.int64),
        crowd=np.array([bool(annotation.get("iscrowd", 0)) for _, annotation, _ in regions], dtype=bool),
        void=np.zeros(shape, dtype=bool),
    )


def _check_size(path: Path, shape: tuple[int, ...], image_path: Path) -> None:
    with opened(image_path) as image:
        width, height = image.size
    if shape != (height, width):
        raise DatasetError(
            f"{image_path} is {width} x {height} pixels but its instances in {path} are {shape[1]} x {shape[0]}; "
            "take both from the same release of the data"
        )
