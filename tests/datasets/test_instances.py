"""Objects of VOC, Cityscapes and COCO, from folders in the published layouts and from a real picture's label map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.base import DatasetError
from datasets.camvid import Camvid
from datasets.cityscapes27 import Cityscapes27
from datasets.coco import CocoVal2017
from datasets.coco_object import CocoObject
from datasets.cocostuff27 import CocoStuff27
from datasets.voc2012 import Voc2012
from eval.instances import instance_truth
from tests.helpers import coco_folder
from tests.helpers.paired_folder import label_of, write_label, write_list, write_pair

ID = "2007_000033"


@pytest.fixture
def voc(tmp_path: Path) -> Voc2012:
    """A picture of 3 x 5 pixels: an aeroplane, two people, an outline of 255 in both maps or in one."""
    write_pair(tmp_path, Voc2012, ID, shape=(3, 5))
    write_list(tmp_path, Voc2012, [ID])
    classes = [[0, 1, 255, 15, 15], [0, 1, 255, 15, 15], [0, 255, 15, 15, 0]]
    objects = [[0, 1, 255, 2, 2], [0, 1, 255, 2, 2], [0, 0, 3, 3, 255]]
    write_label(label_of(tmp_path, Voc2012, ID), np.array(classes, np.uint8), palette=True)
    write_label(objects_of(tmp_path), np.array(objects, np.uint8), palette=True)
    return Voc2012(root=str(tmp_path))


def objects_of(root: Path) -> Path:
    return root / "VOCdevkit" / "VOC2012" / "SegmentationObject" / f"{ID}.png"


def test_voc_objects_have_the_class_of_their_pixels(voc: Voc2012) -> None:
    voc.check_instances()
    objects = voc.instances(ID)
    assert objects.classes.tolist() == [1, 15, 15]
    assert not objects.crowd.any()
    numbers = np.tensordot(np.arange(1, 4), objects.masks, 1)
    assert numbers.tolist() == [[0, 1, 0, 2, 2], [0, 1, 0, 2, 2], [0, 0, 3, 3, 0]]
    assert objects.void.astype(int).tolist() == [[0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [0, 1, 0, 0, 1]]


def test_a_voc_object_without_a_class_is_named(voc: Voc2012) -> None:
    assert voc.root is not None
    path = label_of(Path(voc.root), Voc2012, ID)
    write_label(path, np.zeros((3, 5), np.uint8), palette=True)
    with pytest.raises(DatasetError, match=rf"^{objects_of(Path(voc.root))}: object 1 has no class"):
        voc.instances(ID)


CITY = "frankfurt_000000_000294"


def cityscapes_files(root: Path, id: str) -> tuple[Path, Path]:
    city = id.split("_")[0]
    return (
        root / "leftImg8bit" / "val" / city / f"{id}_leftImg8bit.png",
        root / "gtFine" / "val" / city / f"{id}_gtFine_instanceIds.png",
    )


def test_cityscapes_numbers_say_class_and_object(tmp_path: Path) -> None:
    image, instances = cityscapes_files(tmp_path, CITY)
    for path in (image, instances):
        path.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((2, 4, 3), np.uint8)).save(image)
    values = np.array([[26001, 26001, 26, 7], [24000, 3, 26002, 33]], np.uint16)
    Image.fromarray(values).save(instances)
    Image.fromarray(np.full((2, 4), 7, np.uint8)).save(str(instances).replace("instanceIds", "labelIds"))
    dataset = Cityscapes27(root=str(tmp_path))
    dataset.check_instances()
    objects = dataset.instances(CITY)
    summary = sorted(zip(objects.classes.tolist(), objects.crowd.tolist(), objects.masks.sum(axis=(1, 2)), strict=True))
    assert summary == [(24, False, 1), (26, False, 1), (26, False, 2), (26, True, 1), (33, True, 1)]
    assert objects.void.astype(int).tolist() == [[0, 0, 0, 0], [0, 1, 0, 0]]
    oclf, spot = (instance_truth(objects, convention) for convention in ("oclf", "spot"))
    assert (oclf.instances > 0).sum() == 4
    assert (spot.instances > 0).sum() == 6


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Things of `tests.helpers.coco_folder`; the last one is a crowd."""
    coco_folder.write_folder(tmp_path)
    coco_folder.write_annotations(tmp_path)
    change(tmp_path, iscrowd=1)
    return tmp_path


def change(root: Path, **keys: Any) -> Path:
    """Changes the last annotation. Returns the file."""
    path = root / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"][-1] |= keys
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("kind", [CocoStuff27, CocoObject])
def test_coco_objects_are_the_annotations(kind: type[CocoVal2017], coco: Path) -> None:
    (coco / "annotations" / "stuff_val2017.json").unlink()  # the objects do not need it
    dataset = kind(root=str(coco))
    dataset.check_instances()
    objects = dataset.instances(coco_folder.IDS[1])
    assert objects.classes.tolist() == [thing[0] for thing in coco_folder.THINGS]
    assert objects.crowd.tolist() == [False, False, False, True]
    expected = [coco_folder.box(*thing[1:]) for thing in coco_folder.THINGS]
    np.testing.assert_array_equal(objects.masks, expected)
    assert not objects.void.any()
    assert dataset.instances(coco_folder.IDS[0]).masks.shape == (0, coco_folder.HEIGHT, coco_folder.WIDTH)


def test_objects_of_another_size_than_the_picture_are_refused(voc: Voc2012, coco: Path) -> None:
    assert voc.root is not None
    write_label(objects_of(Path(voc.root)), np.zeros((5, 3), np.uint8), palette=True)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(coco_folder.image_of(coco, coco_folder.IDS[1]))
    for dataset, id in ((voc, ID), (CocoStuff27(root=str(coco)), coco_folder.IDS[1])):
        with pytest.raises(DatasetError, match="pixels but its instances in"):
            dataset.instances(id)


def test_a_data_set_without_objects_says_so(tmp_path: Path) -> None:
    dataset = Camvid(root=str(tmp_path))
    assert "instances" not in dataset.truths
    for call in (dataset.check_instances, lambda: dataset.instances("x")):
        with pytest.raises(DatasetError, match=r"^camvid: has no instances; protocol=instances needs voc2012"):
            call()
