"""Label maps painted from annotations in COCO's JSON format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from datasets.base import DatasetError

UNPAINTED = 255
"""Value of a pixel under no annotation, as in COCO-Stuff's own label maps."""

STUFF_OTHER = 183
"""Category that COCO's stuff annotations give to the pixels of things; it names no class."""

Annotation = Mapping[str, Any]


@dataclass(frozen=True)
class CocoJson:
    """One annotation file.

    Attributes:
        path: the file.
        images: picture id (stem of its ``file_name``) -> its entry, with ``id``, ``height`` and ``width``.
        annotations: COCO image number -> its annotations, in the order of the file.
    """

    path: Path
    images: Mapping[str, Mapping[str, Any]]
    annotations: Mapping[int, list[Annotation]]

    def size(self, id: str) -> tuple[int, int]:
        """Height and width in pixels that the file gives for a picture."""
        return self._image(id)["height"], self._image(id)["width"]

    def of(self, id: str) -> list[Annotation]:
        """Annotations of a picture, in the order of the file."""
        return self.annotations.get(self._image(id)["id"], [])

    def _image(self, id: str) -> Mapping[str, Any]:
        try:
            return self.images[id]
        except KeyError:
            raise DatasetError(
                f"{self.path}: no picture {id} in it; take the annotations of the same split as the pictures"
            ) from None


def read_coco_json(path: Path) -> CocoJson:
    """Reads a file and groups its annotations by picture.

    Raises:
        DatasetError: the file is missing, cut short, or holds something else (captions, say).
    """
    try:
        content = json.loads(path.read_bytes())
        images = {Path(image["file_name"]).stem: image for image in content["images"]}
        annotations: dict[int, list[Annotation]] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            if not {"category_id", "segmentation"} <= annotation.keys():
                raise ValueError("an annotation without category or segmentation")
            annotations[annotation["image_id"]].append(annotation)
    except FileNotFoundError:
        raise DatasetError(f"{path}: the file is missing; unpack or copy it again") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: no masks in COCO's format ({type(error).__name__}: {error}); unpack or copy it again"
        ) from error
    return CocoJson(path, images, annotations)


def run_lengths(annotation: Annotation, height: int, width: int) -> dict[str, Any]:
    """The annotation's region (polygons, or run lengths, packed or not) as pycocotools' packed run lengths."""
    region = annotation["segmentation"]
    if isinstance(region, list):
        return coco_mask.merge(coco_mask.frPyObjects(region, height, width))
    if isinstance(region["counts"], list):
        return coco_mask.frPyObjects(region, height, width)
    return region


def paint(canvas: NDArray[np.uint8], annotations: Iterable[Annotation], path: Path, by_area: bool = False) -> None:
    """Paints regions onto ``canvas`` ``(h, w)`` in place: the value is the fine id, category id - 1.

    Args:
        canvas: fine ids, `UNPAINTED` where nothing is painted yet.
        annotations: those of one picture; the later covers the earlier. Crowds are painted like any other.
        path: their file, for messages.
        by_area: paint the larger region first, whatever the order, so that the smaller one stays visible.

    Raises:
        DatasetError: a category that is none of COCO's, or a region that does not fit the canvas.
    """
    regions = []
    for annotation in annotations:
        category = annotation["category_id"]
        if category == STUFF_OTHER:
            continue
        if not 1 <= category < STUFF_OTHER:
            raise DatasetError(
                f"{path}: annotation {annotation.get('id')} has the unknown category id {category}; "
                f"COCO and COCO-Stuff have 1..{STUFF_OTHER - 1}"
            )
        regions.append((category - 1, run_lengths(annotation, *canvas.shape)))
    if by_area:
        regions.sort(key=lambda region: -int(coco_mask.area(region[1])))
    for fine_id, region in regions:
        if tuple(region["size"]) != canvas.shape:
            raise DatasetError(f"{path}: a region of size {region['size']} in a picture of size {list(canvas.shape)}")
        canvas[coco_mask.decode(region).astype(bool)] = fine_id
