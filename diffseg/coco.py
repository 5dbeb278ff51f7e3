"""Writes label maps as a COCO file, which pycocotools, datumaro and supervision read. Needs NumPy and pycocotools."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffseg.files import write_text

SEGMENT = "segment"
"""Category of segments without a name."""

Names = Sequence[str] | Mapping[int, str]
"""Name of each label."""


def annotation(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Converts a mask ``(h, w)`` bool to the keys of a COCO annotation that describe it, ready for JSON.

    Returns:
        ``segmentation``, the compressed run lengths ``{"size": [h, w], "counts": str}`` that pycocotools reads;
        ``area`` in pixels; ``bbox``, ``[x, y, width, height]`` in pixels.
    """
    from pycocotools import mask as run_lengths

    runs = run_lengths.encode(np.asfortranarray(mask, np.uint8))
    return {
        "segmentation": {"size": [int(side) for side in runs["size"]], "counts": runs["counts"].decode("ascii")},
        "area": int(run_lengths.area(runs)),
        "bbox": [int(value) for value in run_lengths.toBbox(runs)],
    }


def coco(pictures: Iterable[tuple[str, NDArray[np.integer], Names | None]]) -> dict[str, Any]:
    """Converts label maps to the content of a COCO file.

    Args:
        pictures: for each picture its file name; its label map ``(h, w)``, in which negative labels are no segment;
            and the name of each label, or None.

    Returns:
        ``images``, ``annotations`` (one a label, with ``iscrowd`` 0, and the label as ``segment``) and ``categories``:
        the names in order of appearance; labels without a name are in the category `SEGMENT`. Ids count from 1.

    >>> content = coco([("cat.jpg", np.array([[0, 0, 1]]), ["cat", "sofa"])])
    >>> [(each["category_id"], each["bbox"]) for each in content["annotations"]]
    [(1, [0, 0, 2, 1]), (2, [2, 0, 1, 1])]
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    for file, labels, names in pictures:
        height, width = labels.shape
        images.append({"id": len(images) + 1, "file_name": file, "height": height, "width": width})
        for label in np.unique(labels[labels >= 0]).tolist():
            name = SEGMENT if names is None else names[label]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": categories.setdefault(name, len(categories) + 1),
                    "iscrowd": 0,
                    **annotation(labels == label),
                    "segment": label,
                }
            )
    listed = [{"id": number, "name": name, "supercategory": ""} for name, number in categories.items()]
    return {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": listed}


def write_coco(path: str | Path, pictures: Iterable[tuple[str, NDArray[np.integer], Names | None]]) -> None:
    """Writes label maps as one COCO file, in one step.

    Args:
        path: the file, replaced if it exists.
        pictures: file name, label map and names of each picture, as for `coco`.

    Raises:
        OSError: the file cannot be written.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "segments.json"
    >>> write_coco(path, [("cat.jpg", np.array([[0, 0, 1]]), None)])
    >>> [each["area"] for each in json.loads(path.read_text())["annotations"]]
    [2, 1]
    """
    write_text(path, json.dumps(coco(pictures), ensure_ascii=False) + "\n")
