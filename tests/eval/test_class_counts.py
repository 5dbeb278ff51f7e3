"""The mean number of classes in a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.base import DatasetError
from datasets.cocostuff27 import CocoStuff27
from eval.class_counts import mean_classes
from tests.helpers.coco_folder import IDS, image_of, label_of, write_folder
from tests.helpers.folder_rows import dataset_of, write_picture


def test_mean_classes_counts_the_classes_in_the_squares_of_all_pictures(tmp_path: Path) -> None:
    """Margins, void pixels and the limit of the run make no difference."""
    root = write_folder(tmp_path)
    with Image.open(image_of(root, IDS[0])) as image:
        width, height = image.size
    for id, things in zip(IDS, ([0, 1, 15], [0, 15, 24, 25, 39], [0, 2]), strict=True):
        label = np.full((height, width), 255, np.uint8)
        label[0, : (width - height) // 2] = 61
        label[: len(things), width // 2] = things
        Image.fromarray(label).save(label_of(root, id))
    dataset = CocoStuff27(root=str(root), limit=1)
    counts = [
        len(np.unique(dataset.load(id).label[:, (width - height) // 2 : (width + height) // 2])) - 1 for id in IDS
    ]
    assert mean_classes(dataset) == round(sum(counts) / 3)
    assert len(set(counts)) > 1


def test_unreadable_pictures_are_left_out_and_the_limit_does_not_matter(tmp_path: Path) -> None:
    for id, classes in (("a", 1), ("b", 3), ("c", 3)):
        write_picture(tmp_path, id, classes)
    (tmp_path / "maps" / "b.png").write_bytes(b"damaged")
    assert mean_classes(dataset_of(tmp_path, limit=1)) == 2  # the mean of 1 and 3


def test_a_data_set_without_a_readable_picture_is_an_error(tmp_path: Path) -> None:
    write_picture(tmp_path, "a")
    (tmp_path / "maps" / "a.png").write_bytes(b"damaged")
    with pytest.raises(DatasetError, match=r"^folder: none of the 1 pictures can be read"):
        mean_classes(dataset_of(tmp_path))
