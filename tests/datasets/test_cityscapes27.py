"""Cityscapes on real pictures and on small folders in the official layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.cityscapes27 import Cityscapes27

IDS = ("frankfurt_000000_000294", "frankfurt_000001_007973", "lindau_000000_000019")


def image_of(root: Path, id: str) -> Path:
    return root / "leftImg8bit" / "val" / id.split("_")[0] / f"{id}_leftImg8bit.png"


def label_of(root: Path, id: str) -> Path:
    return root / "gtFine" / "val" / id.split("_")[0] / f"{id}_gtFine_labelIds.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "cityscapes"
    for seed, id in enumerate(reversed(IDS)):
        generator = np.random.default_rng(seed)
        for path, shape, top in ((image_of(folder, id), (10, 20, 3), 256), (label_of(folder, id), (10, 20), 34)):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, top, shape, dtype=np.uint8)).save(path)
        # The official archive has these beside the label ids.
        Image.fromarray(np.zeros((10, 20, 4), np.uint8)).save(str(label_of(folder, id)).replace("labelIds", "color"))
    return folder


def test_real_pictures_have_the_labels_of_their_files(shared: Path) -> None:
    folder = shared / "data" / "cityscapes"
    dataset = Cityscapes27(root=str(folder))
    assert dataset.ids == tuple(f"aachen_00000{i}_000019" for i in range(4))
    assert (dataset.name, dataset.official_count, dataset.label_source) == ("cityscapes27", 500, "gtFine")
    for id in dataset.ids:
        picture = dataset.load(id)
        values = np.asarray(Image.open(label_of(folder, id))).astype(np.int16)
        np.testing.assert_array_equal(picture.label, np.where((values >= 7) & (values <= 33), values - 7, -1))
        np.testing.assert_array_equal(picture.image, np.asarray(Image.open(image_of(folder, id))))
        assert picture.image.shape == (1024, 2048, 3)
        assert picture.label.dtype == np.int16
    # These pictures show these classes, so the names stand at the right numbers.
    present = {dataset.classes[label] for label in np.unique(picture.label) if label >= 0}
    assert {"road", "sidewalk", "building", "sky", "car"} <= present


def test_values_7_to_33_are_classes_and_the_others_void(root: Path) -> None:
    values = (np.arange(200) % 34).astype(np.uint8).reshape(10, 20)
    values[-1, -1] = 255  # -1, "license plate", as 8-bit files hold it
    Image.fromarray(values).save(label_of(root, IDS[0]))
    label = Cityscapes27(root=str(root)).load(IDS[0]).label.ravel().tolist()
    assert label[:34] == [-1] * 7 + list(range(27))
    assert label[-1] == -1
