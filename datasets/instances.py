"""Decodes the objects of a picture from the files of PASCAL VOC, Cityscapes and COCO.

A data set calls one of these functions in `datasets.base.Dataset.instances`. The scores that need only classes never
read these files.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from datasets.base import DatasetError, Instances
from datasets.coco_json import CocoJson, run_lengths
from datasets.reading import image_size, read_label

VOC_VOID = 255
"""Value of VOC's outlines and of its difficult objects, in both label maps."""

CITYSCAPES_MANY = 1000
"""Cityscapes numbers an object class * 1000 + its count; a smaller value is a class that stands for a region."""


def check_file(path: Path, instructions: str) -> None:
    """Raises `DatasetError` if a file or folder of instances is missing; ``instructions`` say where to get it."""
    if not path.exists():
        raise DatasetError(f"{path}: no instances there (protocol=instances needs them); {instructions}")


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
    objects, classes = read_label(objects_path), read_label(classes_path)
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
    values = read_label(path).astype(np.int64)
    _check_size(path, values.shape, image_path)
    numbers = np.array([n for n in np.unique(values) if n >= CITYSCAPES_MANY or n in groups], dtype=np.int64)
    crowd = numbers < CITYSCAPES_MANY
    return Instances(
        masks=values == numbers[:, None, None],
        classes=np.where(crowd, numbers, numbers // CITYSCAPES_MANY),
        crowd=crowd,
        void=np.isin(values, list(void)),
    )


def coco_instances(source: CocoJson, id: str, image_path: Path) -> Instances:
    """Objects of a picture of COCO, in the order of the annotations; no pixel is void.

    Args:
        source: the file ``instances_*.json``. A class is the ``category_id`` of an annotation.
        id: the picture.
        image_path: the picture, for its size.

    Raises:
        DatasetError: the file does not know the picture or has another size for it, or an annotation cannot be read.
    """
    height, width = source.size(id)
    _check_size(source.path, (height, width), image_path)
    masks: list[NDArray[np.uint8]] = []
    classes, crowd = [], []
    for annotation in source.of(id):
        try:
            category, region = annotation["category_id"], run_lengths(annotation["segmentation"], height, width)
            if type(category) is not int or category < 1:
                raise ValueError(f"it has the unknown category id {category!r}")
        except (ValueError, KeyError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else error
            raise DatasetError(
                f"{source.path}: annotation {annotation.get('id')!r} cannot be used, because {reason}; "
                "correct or remove it"
            ) from error
        if region is not None:
            masks.append(coco_mask.decode(region))
            classes.append(category)
            crowd.append(bool(annotation.get("iscrowd", 0)))
    return Instances(
        masks=np.array(masks, dtype=bool).reshape(-1, height, width),
        classes=np.array(classes, dtype=np.int64),
        crowd=np.array(crowd, dtype=bool),
        void=np.zeros((height, width), dtype=bool),
    )


def _check_size(path: Path, shape: tuple[int, ...], image_path: Path) -> None:
    width, height = image_size(image_path)
    if shape != (height, width):
        raise DatasetError(
            f"{image_path} is {width} x {height} pixels but its instances in {path} are {shape[1]} x {shape[0]}; "
            "take both from the same release of the data"
        )
