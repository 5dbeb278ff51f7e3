"""CamVid: the splits, the class of each label value, and the real release."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.base import VOID
from datasets.camvid import COUNTS, Camvid, Split
from datasets.class_table import FOLDER
from tests.helpers.dataset_failure import failure

SHAPE = (6, 8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed, (split, id) in enumerate((("val", "0016E5_1"), ("test", "Seq05VD_2"), ("test", "0001TP_3"))):
        generator = np.random.default_rng(seed)
        for folder, shape, top in ((split, (*SHAPE, 3), 256), (f"{split}annot", SHAPE, 12)):
            path = tmp_path / "CamVid" / folder / f"{id}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, top, shape, dtype=np.uint8)).save(path)
    return tmp_path


def test_each_split_has_its_own_pictures_and_labels(root: Path) -> None:
    test, val = Camvid(root=str(root)), Camvid(root=str(root), split="val")
    assert (test.ids, val.ids) == (("0001TP_3", "Seq05VD_2"), ("0016E5_1",))
    assert (test.official_count, val.official_count) == (233, 101)
    assert (test.label_source, val.label_source) == ("testannot", "valannot")
    assert test.fingerprint != val.fingerprint
    message = failure(Camvid(root=str(root), split="train"))
    assert message.startswith(f"{root / 'CamVid' / 'train'}: no pictures (*.png) there; ")
    assert f"make data-camvid DIR={root}" in message


def test_values_are_classes_and_11_is_void(root: Path) -> None:
    dataset = Camvid(root=str(root))
    path = root / "CamVid" / "testannot" / "0001TP_3.png"
    values = np.arange(48, dtype=np.uint8).reshape(SHAPE) % 12
    Image.fromarray(values).save(path)
    np.testing.assert_array_equal(dataset.load("0001TP_3").label, np.where(values == 11, VOID, values.astype(int)))
    Image.fromarray(np.full(SHAPE, 12, np.uint8)).save(path)
    assert failure(dataset, "0001TP_3").startswith(f"{path}: unknown class id 12 (100.00% of its pixels); ")


def test_classes_are_those_of_the_release(shared: Path) -> None:
    assert (FOLDER / "camvid.csv").read_text().split() == (shared / "facts" / "camvid11.csv").read_text().split()
    assert Camvid.table.names[0::10] == ("sky", "bicyclist")


@pytest.mark.parametrize("split", ["val", "test"])
def test_real_pictures_have_the_known_size_and_classes(shared: Path, split: Split) -> None:
    folder = shared / "data" / "camvid"
    if not folder.is_dir():
        pytest.skip("CamVid is not beside the checkout (data/camvid)")
    dataset = Camvid(root=str(folder), split=split)
    assert len(dataset.ids) == COUNTS[split]
    seen: set[str] = set()
    for id in dataset.ids[::20]:
        picture = dataset.load(id)
        assert picture.image.shape == (360, 480, 3)
        seen |= {dataset.classes[label] for label in np.unique(picture.label) if label != VOID}
    assert {"sky", "building", "road", "pavement", "tree", "car"} <= seen
