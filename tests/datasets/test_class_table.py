"""Tables of classes: their files, and labels from values."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from datasets.base import VOID
from datasets.class_table import class_table, read_class_table, table_of_names

NAMES = ("road", "sky", "other")


@pytest.mark.parametrize(
    "text",
    [
        "value,label,name\n0,0,road\n1,1,sky\n2,2,other\n255,-1,void\n",
        "\ufeffvalue,label,name\r\n0,0,road\r\n1,1,sky\r\n2,2,other\r\n\r\n",
        "id , colour , label , name\n 0 , x , 0 , road\n1,y,1,sky\n2,z,2, other\n",
        "name\nroad\nsky\nother\n",
        "road\nsky\nother\n",
    ],
)
def test_classes_are_read_from_a_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "classes.csv"
    path.write_bytes(text.encode())
    table = read_class_table(path)
    assert table.names == NAMES
    labels = table.labels(np.array([[0, 1], [2, 255]], np.uint8))
    np.testing.assert_array_equal(labels, [[0, 1], [2, VOID]])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "the labels are []"),
        ("value,label,name\n0,0,a\n1,2,b\n", "the labels are [0, 2]"),
        ("value,label,name\n0,0,a\n0,1,b\n", "the value 0 occurs twice"),
        ("value,label,name\n0,0,a\n1,0,b\n", "the label 0 has two names, a and b"),
        ("value,label,name\n0,0,a\n1,1,a\n", "two labels have the same name"),
        ("value,label,name\n0,0,a\nx,1,b\n", "line 3 holds no value, label and name (x,1,b)"),
        ("value;label;name\n0;0;a\n1;1;b\n", "not separated by commas"),
        ("a\nb\na\n", "the same name"),
    ],
)
def test_bad_class_files_are_named(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: .*{re.escape(part)}.*label -1 for void$"):
        read_class_table(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_values_without_a_class_are_void_in_every_dtype(dtype: type) -> None:
    table = table_of_names(NAMES)
    values = np.random.default_rng(0).integers(0, 6, (5, 7)).astype(dtype)
    labels = table.labels(values)
    assert labels.dtype == np.int16
    np.testing.assert_array_equal(labels, np.where(values < len(NAMES), values.astype(np.int64), VOID))


def test_class_tables_have_27_classes_and_make_other_values_void() -> None:
    coco, cityscapes = class_table("cocostuff27"), class_table("cityscapes27")
    assert len(coco.names) == len(cityscapes.names) == 27
    assert len(set(coco.names)) == len(set(cityscapes.names)) == 27
    # Things come first, each class is used, and all 182 fine ids have one.
    assert [name.endswith("-things") for name in coco.names] == [True] * 12 + [False] * 15
    assert set(coco.label_of) == set(range(182))
    assert set(coco.label_of.values()) == set(range(27))
    assert dict(cityscapes.label_of) == {value: value - 7 for value in range(7, 34)}
    assert cityscapes.names[:2] + cityscapes.names[-1:] == ("road", "sidewalk", "bicycle")
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert coco.labels(values).dtype == np.int16
    np.testing.assert_array_equal(coco.labels(values).ravel()[182:], VOID)
    np.testing.assert_array_equal(cityscapes.labels(values).ravel()[:7], VOID)
    np.testing.assert_array_equal(cityscapes.labels(values).ravel()[34:], VOID)
    wide = np.array([[-1, 7, 33, 34, 256 + 7, 70_000]])
    assert cityscapes.labels(wide).tolist() == [[VOID, 0, 26, VOID, VOID, VOID]]
    assert cityscapes.labels(wide).dtype == np.int16


def test_class_tables_are_the_published_ones(shared: Path) -> None:
    rows = [line.split(",") for line in (shared / "facts/cocostuff27.csv").read_text().splitlines()[1:]]
    table = class_table("cocostuff27")
    assert {int(fine): (int(coarse), name) for fine, _, coarse, name in rows} == {
        fine: (label, table.names[label]) for fine, label in table.label_of.items()
    }
    rows = [line.split(",") for line in (shared / "facts/cityscapes27.csv").read_text().splitlines()[1:]]
    table = class_table("cityscapes27")
    assert {int(value): (int(label), name) for value, label, name in rows} == {
        value: (label, table.names[label]) for value, label in table.label_of.items()
    }
