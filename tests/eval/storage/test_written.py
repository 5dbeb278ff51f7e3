"""Only files that are listed as ours are deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eval.storage.written import LIST, WrittenFiles


def test_a_users_file_stays(tmp_path: Path) -> None:
    for name in ("summary.csv", "notes.csv", "panels/a.png", "panels/mine.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    WrittenFiles(tmp_path).add(["summary.csv", "panels/a.png", "panels/b.png"])
    deleted = WrittenFiles(tmp_path).delete(keep=["summary.csv"])
    assert deleted == [tmp_path / "panels/a.png"]
    assert sorted(path.name for path in tmp_path.rglob("*.*") if path.name != LIST) == [
        *("mine.png", "notes.csv", "summary.csv")
    ]
    assert WrittenFiles(tmp_path).names == {"summary.csv"}


def test_named_files_are_deleted_if_they_are_listed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    WrittenFiles(tmp_path).add(["a"])
    assert WrittenFiles(tmp_path).delete(["a", "b", "c"]) == [tmp_path / "a"]
    assert (tmp_path / "b").exists()


@pytest.mark.parametrize("damage", ["", "{", "3", '["a"'])
def test_a_damaged_list_deletes_nothing(tmp_path: Path, damage: str) -> None:
    (tmp_path / "a").touch()
    (tmp_path / LIST).write_text(damage)
    assert WrittenFiles(tmp_path).delete() == []
    assert (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["../b", "panels/../../b", "{elsewhere}/b", r"panels\..\..\b"])
def test_a_list_that_someone_has_edited_deletes_nothing_elsewhere(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "results"
    (folder / "panels").mkdir(parents=True)
    for path in (tmp_path / "b", folder / "a"):
        path.touch()
    (folder / LIST).write_text(json.dumps(["a", name.format(elsewhere=tmp_path)]))
    assert WrittenFiles(folder).delete() == [folder / "a"]
    assert (tmp_path / "b").exists()
