"""The list of pictures that a data set evaluates, and its fingerprint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from datasets.base import DatasetError
from datasets.class_table import ClassTable
from datasets.cocostuff27 import CocoStuff27
from datasets.listing import read_ids
from tests.helpers.coco_folder import IDS, image_of, label_of, write_annotations, write_folder, write_pair
from tests.helpers.dataset_failure import failure


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "coco")


def test_ids_are_sorted_and_limited(root: Path) -> None:
    assert CocoStuff27(root=str(root)).ids == IDS
    limited = CocoStuff27(root=str(root), limit=2)
    assert limited.ids == IDS[:2]
    assert limited.listed == IDS
    assert CocoStuff27(root=str(root), limit=99).ids == IDS


def test_a_file_without_its_partner_is_named(root: Path, tmp_path: Path) -> None:
    label_of(root, IDS[1]).unlink()
    assert failure(CocoStuff27(root=str(root))).startswith(str(label_of(root, IDS[1])))
    write_pair(root, IDS[1])
    image_of(root, IDS[0]).unlink()
    image_of(root, IDS[1]).unlink()
    split = tmp_path / "split.txt"
    split.write_text("\n".join(IDS))
    message = failure(CocoStuff27(root=str(root), split_file=str(split)))
    assert message.startswith(str(image_of(root, IDS[0])))
    assert "(and 1 more)" in message


def test_the_fingerprint_follows_ids_and_label_source_and_not_the_place(root: Path, tmp_path: Path) -> None:
    def fingerprint(folder: Path = root, **keys: Any) -> str:
        return CocoStuff27(root=str(folder), **keys).fingerprint

    first = fingerprint()
    assert len(first) == 64
    assert fingerprint(limit=1) == first
    copy = tmp_path / "elsewhere"
    shutil.copytree(root, copy)
    assert fingerprint(copy) == first
    split = tmp_path / "split.txt"
    split.write_text("\n".join(IDS))
    assert fingerprint(split_file=str(split)) == first
    split.write_text("\n".join(IDS[:2]))
    assert fingerprint(split_file=str(split)) != first
    write_annotations(copy)
    assert fingerprint(copy) == first
    assert fingerprint(copy, labels="json") != first


def test_the_fingerprint_follows_the_classes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, table = CocoStuff27(root=str(root)).fingerprint, CocoStuff27.table
    for other in (
        ClassTable(table.names, {**table.label_of, 5: 0}),
        ClassTable((*table.names[:-1], "sea"), table.label_of),
    ):
        monkeypatch.setattr(CocoStuff27, "table", other)
        assert CocoStuff27(root=str(root)).fingerprint != first


def test_lists_of_ids_are_read_and_empty_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"000000000724\r\n\n  000000000139 \n000000000724\n")
    assert read_ids(path) == {"000000000139", "000000000724"}
    path.write_bytes(b"\xef\xbb\xbf000000017914\r\nmy photo\t\r\n")
    assert read_ids(path) == {"000000017914", "my photo"}
    for content in (b"", b" \n\n", b"\xff\xfe1\x00", None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(DatasetError, match=f"^{path}: the list of ids .*; give a text file"):
            read_ids(path)
