"""Checks that every picture of a prepared folder has labels of its size. Reads only headers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from datasets.base import DatasetError
from datasets.coco import CocoVal2017
from datasets.paired import PairedDataset
from datasets.reading import image_size


def check_sizes(dataset: PairedDataset) -> None:
    """Compares the listed pictures with their label maps, or with the sizes in COCO's annotation files.

    Raises:
        DatasetError: a file is missing or damaged, or a size differs.
    """
    pictures = tqdm(dataset.listed, desc="check", unit="picture", disable=None, leave=False)
    for id in pictures:
        image = dataset.image_path(id)
        width, height = image_size(image)
        for path, label_size in _label_sizes(dataset, id):
            if label_size != (width, height):
                label_width, label_height = label_size
                raise DatasetError(
                    f"{image} is {width} x {height} pixels but its labels in {path} are {label_width} x "
                    f"{label_height}; take both from the same release of the data"
                )


def _label_sizes(dataset: PairedDataset, id: str) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Yields each label file of a picture, with the (width, height) that it states."""
    if isinstance(dataset, CocoVal2017) and dataset.label_source == "json":
        for annotations in dataset.annotations():
            height, width = annotations.size(id)
            yield annotations.path, (width, height)
    else:
        path = dataset.label_path(id)
        yield path, image_size(path)
