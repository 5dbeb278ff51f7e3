"""Tables of classes: their files, and labels from values."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from datasets.base import VOID
from datasets.class_table import class_table, read_class_table, table_of_names
from diffseg.files.label_maps import colour_number

NAMES = ("road", "sky", "other")


@pytest.mark.parametrize(
    "text",
    [
        "value,label,name\n0,0,road\n1,1,sky\n2,2,other\n255,-1,void\n",
        "\ufeffvalue,label,name\r\n0,0,road\r\n1,1,sky\r\n2,2,other\r\n\r\n",
        "id , Name , label \n 0 , road , 0\n1,sky,1\n2, other,2,,\n255,,-1\n",
        "label,value,name\n1,1,sky\n0,0,road\n2,2,other\n",
        "Pixel Value, Class\n0, road\n1, sky\n2, other\n",
        "name,value,,\nroad,0,,\nsky,1\nother,2\n",
        "label,name\n0,road\n1,sky\n2,other\n-1,\n",
        "value,value_name,label,name\n0,asphalt,0,road\n1,cloud,1,sky\n2,x,2,other\n",
        "Class\nroad\nsky\nother\n",
        "labels\nroad\nsky\nother\n",
        "Category\nroad\nsky\nother\n",
        "name\nroad\nsky\nother\n",
        "road\nsky\nother\n",
    ],
)
def test_classes_are_read_from_a_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "classes.csv"
    path.write_bytes(text.encode())
    table = read_class_table(path)
    assert table.names == NAMES
    labels = table.read(np.array([[0, 1], [2, 255]], np.uint8))[0]
    np.testing.assert_array_equal(labels, [[0, 1], [2, VOID]])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "it is empty"),
        ("0,0,road\n1,1,sky\n", "the first line (0,0,road) holds numbers and no header"),
        ("road,255,0,0\nsky,0,0,255\n", "the first line (road,255,0,0) holds numbers and no header"),
        ("value,label,title\n0,0,a\n", "its header has the unknown column 'title'"),
        ("value,id,name\n0,0,a\n", "its header has two columns for the value, value and id"),
        ("value,label\n0,0\n", "its header (value,label) has no name"),
        ("name,r,g\na,0,0\n", "its header has some of r, g and b"),
        ("name,r,g,b\na,0,0,256\n", "line 2 (a,0,0,256) has a colour outside 0..255"),
        ("name,colour\na,red\n", "line 2 (a,red) has no colour such as #808080"),
        ("name,r,g,b\na,1,1,1\nb,1,1,1\n", "the value #010101 occurs twice"),
        ("value,label,name\n0,0,a\n1,1,\n", "line 3 (1,1) has no name"),
        ("value,label,name\n0,0,a,b\n", "line 2 (0,0,a,b) has 4 columns, the header 3"),
        ("value,label,name\n0,0,a\n1,2,b\n", "no class has the label 1; "),
        ("value,label,name\n0,-2,a\n1,1,b\n", "no class has the label 0; "),
        ("value,label,name\n", "no class has the label 0; "),
        ('value,label,name\n0,0,"a\n1,1,b\n', "holds a character that cannot be shown"),
        ("name\na\0b\n", "holds a character that cannot be shown"),
        pytest.param("\n".join(map(str, range(32_768))), "it has 32,768 classes, and at most 32,767", id="many"),
        ("value,label,name\n0,0,a\n0,1,b\n", "the value 0 occurs twice"),
        ("value,label,name\n0,0,a\n1,0,b\n", "the label 0 has two names, a and b"),
        ("value,label,name\n0,0,a\n1,1,a\n", "two labels have the same name, a;"),
        ("value,label,name\n0,0,a\nx,1,b\n", "line 3 (x,1,b) has no whole number as value"),
        ("value;label;name\n0;0;a\n1;1;b\n", "not separated by commas"),
        ("a\nb\na\n", "the same name"),
        ("# my classes\na\nb\n", "its first line (# my classes) is neither a name nor the header of a list of names"),
        ("Pixel Value\n0\n1\n", "its first line (Pixel Value) is neither a name nor the header"),
    ],
)
def test_bad_class_files_are_named(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: .*{re.escape(part)}.*label -1 for void$"):
        read_class_table(path)


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
    assert coco.read(values)[0].dtype == np.int16
    np.testing.assert_array_equal(coco.read(values)[0].ravel()[182:], VOID)
    np.testing.assert_array_equal(cityscapes.read(values)[0].ravel()[:7], VOID)
    np.testing.assert_array_equal(cityscapes.read(values)[0].ravel()[34:], VOID)
    wide = np.array([[-1, 7, 33, 34, 256 + 7, 70_000]])
    assert cityscapes.read(wide)[0].tolist() == [[VOID, 0, 26, VOID, VOID, VOID]]
    assert cityscapes.read(wide)[0].dtype == np.int16


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


@pytest.mark.parametrize("header", ["name,r,g,b", "name,colour"])
def test_a_file_of_colours_names_rgb_maps(tmp_path: Path, header: str) -> None:
    lines = (
        ["road,128,64,0", "sky,1,2,3", "road,0,0,0"] if "r" in header.split(",") else ["road,#804000", "sky,#010203"]
    )
    (tmp_path / "colours.csv").write_text("\n".join([header, *lines]))
    table = read_class_table(tmp_path / "colours.csv")
    assert (table.names, table.colours) == (("road", "sky"), "only")
    values = np.array([[colour_number(128, 64, 0), colour_number(1, 2, 3), colour_number(9, 9, 9)]])
    assert table.read(values)[0].tolist() == [[0, 1, VOID]]
    (tmp_path / "both.csv").write_text("value,label,name,r,g,b\n0,0,road,1,1,1\n1,1,sky,2,2,2\n9,-1,,3,3,3\n")
    both = read_class_table(tmp_path / "both.csv")
    assert (both.names, both.colours) == (("road", "sky"), "allowed")
    assert both.read(np.array([[1, colour_number(2, 2, 2), 9, colour_number(3, 3, 3)]]))[0].tolist() == [[1, 1, -1, -1]]


def test_values_can_be_made_void() -> None:
    table = table_of_names(NAMES).without([0, 7])
    assert table.names == NAMES[1:]
    assert table.read(np.array([[0, 1, 2, 7]]))[0].tolist() == [[VOID, 0, 1, VOID]]
