"""Finding the pictures of a folder among its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.files import find_files


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_endings_match_in_small_and_capital_letters(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "b.jpg", "a.JPG", "c.Jpeg", "d.png", "e.jpg.txt", "f.jpgx", "deep/g.jpg")
    paths = find_files(tmp_path, (".jpg", ".jpeg"), warn=True)
    assert paths == {"a": tmp_path / "a.JPG", "b": tmp_path / "b.jpg", "c": tmp_path / "c.Jpeg"}
    assert caplog.messages == [f"{tmp_path}: skipped 3 files of another kind (.jpgx, .png, .txt), such as d.png"]


def test_hidden_and_system_files_are_no_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "a.jpg", "._a.jpg", ".b.jpg", "Thumbs.db", "desktop.ini", ".DS_Store", ".trash/c.jpg", "in/._d.jpg")
    assert list(find_files(tmp_path, (".jpg",), nested=True, warn=True)) == ["a"]
    assert not caplog.messages


def test_ids_of_nested_files_are_their_paths(tmp_path: Path) -> None:
    write(tmp_path, "2/b.png", "1/a.png", "1/deep/a b.png", "c.png", "no.png/d.png")
    paths = find_files(tmp_path, (".png",), nested=True)
    assert paths == {id: tmp_path / f"{id}.png" for id in ("1/a", "1/deep/a b", "2/b", "c", "no.png/d")}
    (tmp_path / "1" / "loop").symlink_to(tmp_path)
    elsewhere = tmp_path.parent / "elsewhere"
    write(elsewhere, "e.png")
    (tmp_path / "3").symlink_to(elsewhere)
    assert find_files(tmp_path, (".png",), nested=True).keys() == {*paths, "3/e"}
