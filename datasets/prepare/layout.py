"""Checks that every picture of a prepared folder has labels of its size. Only headers are read, nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from datasets import cityscapes27, cocostuff27
from datasets.base import DatasetError
from datasets.cityscapes27 import Cityscapes27
from datasets.coco_json import read_coco_json
from datasets.cocostuff27 import CocoStuff27

Size = tuple[int, int]


def check_cocostuff(root: Path, dataset: CocoStuff27) -> None:
    """Compares the listed pictures with their label maps, or with what both annotation files say of them.

    Raises:
        DatasetError: a file is missing or damaged, or a size differs.
    """
    images = {id: root / cocostuff27.SPLIT / f"{id}.jpg" for id in dataset.listed}
    if dataset.labels == "png":
        maps = root / "stuffthingmaps" / cocostuff27.SPLIT
        _compare_files((image, maps / f"{id}.png") for id, image in images.items())
        return
    for kind in ("instances", "stuff"):
        annotations = read_coco_json(root / "annotations" / f"{kind}_{cocostuff27.SPLIT}.json")
        for id, image in images.items():
            height, width = annotations.size(id)
            _compare(image, annotations.path, (width, height))


def check_cityscapes(root: Path, dataset: Cityscapes27) -> None:
    """Compares the listed pictures with their label maps.

    Raises:
        DatasetError: a file is missing or damaged, or a size differs.
    """
    images, maps = root / "leftImg8bit" / cityscapes27.SPLIT, root / "gtFine" / cityscapes27.SPLIT
    names = (f"{id.split('_')[0]}/{id}" for id in dataset.listed)
    _compare_files(
        (images / f"{name}{cityscapes27.IMAGE_SUFFIX}", maps / f"{name}{cityscapes27.LABEL_SUFFIX}") for name in names
    )


def _compare_files(pairs: Iterable[tuple[Path, Path]]) -> None:
    for image, label in tqdm(pairs, desc="check", unit="picture", disable=None, leave=False):
        _compare(image, label, _size(label))


def _compare(image: Path, label: Path, label_size: Size) -> None:
    size = _size(image)
    if size != label_size:
        (width, height), (label_width, label_height) = size, label_size
        raise DatasetError(
            f"{image} is {width} x {height} pixels but its labels in {label} are {label_width} x {label_height}; "
            "take both from the same release of the data"
        )


def _size(path: Path) -> Size:
    """Width and height in pixels."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path}: not a picture ({error}); delete it and run again") from error
