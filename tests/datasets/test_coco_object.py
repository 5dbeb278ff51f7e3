"""COCO-Object with labels from the stuffthingmaps, and with labels painted from COCO's annotations."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from datasets.class_table import FOLDER
from datasets.coco_object import CocoObject
from datasets.cocostuff27 import OFFICIAL_LIST
from tests.helpers.coco_folder import HEIGHT, IDS, THINGS, WIDTH, write_annotations, write_folder
from tests.helpers.dataset_failure import failure

INSTANCES = "annotations/instances_val2017.json"
# Fine ids of COCO-Stuff for things that COCO never annotated.
NEVER = {11: "street sign", 25: "hat", 28: "shoe", 29: "eye glasses", 44: "plate", 65: "mirror", 67: "window"}
NEVER |= {68: "desk", 70: "door", 82: "blender", 90: "hair brush"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "coco")


def test_classes_are_the_things_of_coco_stuff_in_order() -> None:
    with (FOLDER / "cocostuff27.csv").open(newline="") as file:
        fine = {int(row["value"]): row["value_name"] for row in csv.DictReader(file)}
    assert {value: fine[value] for value in NEVER} == NEVER
    things = [name for value, name in sorted(fine.items()) if value <= 90 and value not in NEVER]
    table = CocoObject.table
    assert table.names == ("background", *things)
    assert len(table.names) == 81
    assert {value for value, label in table.label_of.items() if label == 0} == {*range(91, 182), 255}
    assert not table.label_of.keys() & NEVER.keys()


def test_labels_are_painted_from_the_instances_alone(root: Path) -> None:
    write_annotations(root)
    (root / "annotations" / "stuff_val2017.json").unlink()
    dataset = CocoObject(root=str(root), labels="json")
    assert (dataset.label_source, dataset.ids) == ("json", IDS)
    names = np.full((HEIGHT, WIDTH), "background", dtype=object)
    coco = {1: "person", 3: "car", 17: "cat", 44: "bottle"}  # COCO's own category ids
    for category, top, left, bottom, right in sorted(THINGS, key=lambda box: -(box[3] - box[1]) * (box[4] - box[2])):
        names[top:bottom, left:right] = coco[category]
    label = dataset.load(IDS[1]).label
    np.testing.assert_array_equal(np.array(dataset.classes, dtype=object)[label], names)
    # A picture without any thing is all background, which is a class.
    assert not dataset.load(IDS[0]).label.any()


def test_the_list_of_cocostuff_27_is_ignored(root: Path) -> None:
    (root / OFFICIAL_LIST).write_text(IDS[1])
    assert CocoObject(root=str(root)).ids == IDS
    assert CocoObject(root=str(root), split_file=str(root / OFFICIAL_LIST)).ids == IDS[1:2]


def test_missing_annotations_are_named(root: Path) -> None:
    message = failure(CocoObject(root=str(root), labels="json"))
    assert message.startswith(f"{root / INSTANCES}: no labels there; ")
    assert 'ARGS="--labels json"' in message
