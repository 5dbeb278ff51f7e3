"""The check of a prepared folder: every picture has labels of its size."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from datasets.base import DatasetError
from datasets.cocostuff27 import CocoStuff27
from datasets.prepare.layout import check_sizes
from tests.helpers.coco_folder import HEIGHT, IDS, WIDTH, image_of, label_of, write_annotations, write_folder

LabelFormat = Literal["png", "json"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = write_folder(tmp_path / "coco")
    write_annotations(folder)
    return folder


def failure(root: Path, labels: LabelFormat) -> str:
    with pytest.raises(DatasetError) as error:
        check_sizes(CocoStuff27(root=str(root), labels=labels))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("labels", ["png", "json"])
def test_a_picture_of_another_size_than_its_labels_is_named(root: Path, labels: LabelFormat) -> None:
    check_sizes(CocoStuff27(root=str(root), labels=labels))
    Image.new("RGB", (HEIGHT, WIDTH)).save(image_of(root, IDS[1]))
    message = failure(root, labels)
    assert message.startswith(f"{image_of(root, IDS[1])} is {HEIGHT} x {WIDTH} pixels")
    assert f"{WIDTH} x {HEIGHT}; take both from the same release" in message
    image_of(root, IDS[1]).write_bytes(b"no picture")
    assert failure(root, labels).startswith(f"{image_of(root, IDS[1])}: not a picture")


def test_a_damaged_label_map_is_named(root: Path) -> None:
    label_of(root, IDS[2]).write_bytes(b"no picture")
    assert failure(root, "png").startswith(f"{label_of(root, IDS[2])}: not a picture")
    check_sizes(CocoStuff27(root=str(root), labels="json"))
