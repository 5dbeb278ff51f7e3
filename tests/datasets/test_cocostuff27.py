"""COCO-Stuff-27 on real pictures and on small folders in the real layout."""

from __future__ import annotations

import csv
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.cocostuff27 import OFFICIAL_LIST, CocoStuff27
from tests.helpers.coco_folder import IDS, image_of, label_of, write_folder, write_pair
from tests.helpers.dataset_failure import failure


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "coco")


# Real pictures


def test_real_pictures_have_the_coarse_classes_of_their_fine_ids(shared: Path) -> None:
    folder = shared / "data" / "cocostuff"
    dataset = CocoStuff27(root=str(folder))
    assert list(dataset.ids) == sorted((folder / "sample.txt").read_text().split())
    assert (len(dataset.ids), dataset.official_count, dataset.label_source) == (13, 2175, "stuffthingmaps")
    with (shared / "facts/cocostuff27.csv").open() as file:
        coarse = {int(row["fine_id"]): int(row["coarse_id"]) for row in csv.DictReader(file)}
    for id in dataset.ids:
        picture = dataset.load(id)
        fine = np.asarray(Image.open(label_of(folder, id)))
        expected = np.full(fine.shape, -1, np.int16)
        for value in set(fine.ravel().tolist()) - {255}:
            expected[fine == value] = coarse[value]
        np.testing.assert_array_equal(picture.label, expected)
        np.testing.assert_array_equal(picture.image, np.asarray(Image.open(image_of(folder, id)).convert("RGB")))
        assert (picture.id, picture.image.dtype, picture.label.dtype) == (id, np.uint8, np.int16)


def test_the_published_list_chooses_among_the_pictures_that_are_there(shared: Path, tmp_path: Path) -> None:
    official = shared / "data" / OFFICIAL_LIST
    assert hashlib.sha256(official.read_bytes()).hexdigest().startswith("7c629734")
    listed = sorted(official.read_text().split())
    for id in (listed[5], listed[2000], "999999999999"):
        write_pair(tmp_path, id)
    shutil.copy(official, tmp_path / OFFICIAL_LIST)
    dataset = CocoStuff27(root=str(tmp_path))
    assert dataset.listed == (listed[5], listed[2000])
    assert len(listed) == dataset.official_count


@pytest.mark.parametrize("place", [".", "curated/val2017"])
def test_pictures_outside_the_official_list_are_left_out(root: Path, place: str) -> None:
    (root / place).mkdir(parents=True, exist_ok=True)
    (root / place / OFFICIAL_LIST).write_text(f"{IDS[2]}\n{IDS[0]}\n000000009999\n")
    label_of(root, IDS[1]).unlink()  # not listed, so its label map may be missing
    assert CocoStuff27(root=str(root)).ids == (IDS[0], IDS[2])
    (root / place / OFFICIAL_LIST).write_text("000000009999\n")
    assert OFFICIAL_LIST in failure(CocoStuff27(root=str(root)))
