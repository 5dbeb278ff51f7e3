"""Writes small folders in the layout of COCO-Stuff."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 24, 32
IDS = ("000000000139", "000000000724", "000000001000")


def write_pair(root: Path, id: str, seed: int = 0) -> NDArray[np.uint8]:
    generator = np.random.default_rng(seed)
    for folder in ("val2017", "stuffthingmaps/val2017"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    fine = generator.choice(np.array([0, 61, 181, 255], np.uint8), (HEIGHT, WIDTH))
    Image.fromarray(generator.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(image_of(root, id))
    Image.fromarray(fine).save(label_of(root, id))
    return fine


def image_of(root: Path, id: str) -> Path:
    return root / "val2017" / f"{id}.jpg"


def label_of(root: Path, id: str) -> Path:
    return root / "stuffthingmaps" / "val2017" / f"{id}.png"


def write_folder(root: Path) -> Path:
    """Writes pictures and label maps of the `IDS` in reverse order."""
    for seed, id in enumerate(reversed(IDS)):
        write_pair(root, id, seed)
    return root


def write_spoilt_folder(root: Path, ids: Sequence[str], spoilt: str) -> tuple[str, ...]:
    """Writes pictures and label maps; the picture ``spoilt`` cannot be decoded. Returns overrides for this data set."""
    for seed, id in enumerate(ids):
        write_pair(root, id, seed)
    image_of(root, spoilt).write_bytes(image_of(root, spoilt).read_bytes()[:300])
    return ("dataset=cocostuff27", f"dataset.root={root}")


def box(top: int, left: int, bottom: int, right: int) -> NDArray[np.uint8]:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[top:bottom, left:right] = 1
    return mask


def packed(mask: NDArray[np.uint8]) -> dict[str, Any]:
    region = coco_mask.encode(mask)
    return {"size": region["size"], "counts": region["counts"].decode()}


def unpacked(mask: NDArray[np.uint8]) -> dict[str, Any]:
    """Uncompressed run lengths as in COCO's crowds: column by column, zeros first."""
    runs, value, length = [], 0, 0
    for pixel in mask.ravel(order="F").tolist():
        if pixel != value:
            runs.append(length)
            value, length = pixel, 0
        length += 1
    return {"size": [HEIGHT, WIDTH], "counts": [*runs, length]}


def polygon(top: int, left: int, bottom: int, right: int) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


# (category, top, left, bottom, right). Small things come before and after larger ones.
STUFF = [(157, 0, 0, 10, 32), (124, 10, 0, 24, 20), (183, 12, 20, 24, 32)]
THINGS = [(1, 8, 4, 12, 8), (3, 4, 2, 20, 16), (17, 14, 6, 18, 12), (44, 12, 24, 16, 30)]


def write_annotations(root: Path) -> None:
    images = [{"id": int(id), "file_name": f"{id}.jpg", "height": HEIGHT, "width": WIDTH} for id in IDS]
    stuff = [(category, packed(box(*place))) for category, *place in STUFF]
    forms = ([polygon(*THINGS[0][1:])], unpacked(box(*THINGS[1][1:])), packed(box(*THINGS[2][1:])))
    things: list[tuple[int, Any]] = [(thing[0], form) for thing, form in zip(THINGS, forms, strict=False)]
    things.append((THINGS[3][0], [polygon(12, 24, 16, 27), polygon(12, 27, 16, 30)]))
    (root / "annotations").mkdir(exist_ok=True)
    for name, regions in (("stuff", stuff), ("instances", things)):
        annotations = [
            {"id": number, "image_id": int(IDS[1]), "category_id": category, "segmentation": region, "iscrowd": 0}
            for number, (category, region) in enumerate(regions)
        ]
        content = {"images": images, "annotations": annotations, "categories": []}
        (root / "annotations" / f"{name}_val2017.json").write_text(json.dumps(content))
