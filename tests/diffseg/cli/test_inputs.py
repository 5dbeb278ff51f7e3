"""Arguments that name photographs: files, folders and patterns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from diffseg.cli import main as cli
from tests.helpers.command_line import contents, save, stored


def test_photographs_of_the_same_name_are_all_kept(
    tmp_path: Path, halves: list[NDArray[np.uint8]], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    names = ("a/cat.png", "a/cat.jpg", "b/cat.png", "b/CAT.webp", "a/cat_2.png", "a/dog.tar.png")
    photos = [save(tmp_path / name, width=8 + i) for i, name in enumerate(names)]
    assert cli.main([*photos, photos[0], "-o", str(out)]) == 0  # the one given twice counts once
    stems = ["cat", "cat_2", "cat_3", "CAT_4", "cat_2_2", "dog.tar"]
    for i, stem in enumerate(stems):
        assert stored(out / f"{stem}.labels.png").shape == (6, 8 + i)
        assert stored(out / f"{stem}.overlay.png").shape == (6, 8 + i, 3)
    assert len(contents(out)) == 2 * len(stems) + 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [*photos, "contact sheet"]


def test_a_folder_gives_its_photographs_sorted(
    tmp_path: Path, halves: list[NDArray[np.uint8]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    photos = [save(folder / name) for name in ("b.PNG", "a.jpg", "c.tif")]
    save(folder / ".hidden.png")
    save(folder / "deeper" / "d.png")
    (folder / "notes.txt").write_text("no photograph")
    assert cli.main([str(folder), "-o", str(folder / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines[:-1]] == [photos[1], photos[0], photos[2]]
    assert lines[0].startswith(f"{photos[1]}: 2 segments, ")


def test_patterns_find_photographs(
    tmp_path: Path, halves: list[NDArray[np.uint8]], capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [save(tmp_path / name) for name in ("b/1.png", "a/2.jpg", "a/deep/3.png", "a/[4].png", "a/.5.png")]
    (tmp_path / "a" / "6.txt").write_text("no photograph")
    for pattern, expected in (("a/*", [1, 3]), ("**/*.png", [3, 2, 0]), ("a/[[]4].png", [3]), ("a/[4].png", [3])):
        assert cli.main([str(tmp_path / pattern), "-o", str(tmp_path / "out")]) == 0
        lines = capsys.readouterr().out.splitlines()[:-1]
        assert [line.split(": ")[0] for line in lines] == [photos[number] for number in expected]


def test_skipped_files_and_folders_are_named(
    tmp_path: Path, halves: list[NDArray[np.uint8]], capsys: pytest.CaptureFixture[str]
) -> None:
    """IMG_1.HEIC holds a JPEG, and can be segmented if it is named."""
    folder = tmp_path / "photos"
    save(folder / "a.jpg")
    Image.new("RGB", (4, 4)).save(folder / "IMG_1.HEIC", format="JPEG")
    save(folder / "deeper" / "b.png")
    save(folder / ".hidden.png")
    assert cli.main([str(folder), "-o", str(folder / "out")]) == 0
    files, folders = capsys.readouterr().err.splitlines()
    assert files.startswith(f"diffseg: {folder}: skipped IMG_1.HEIC: no picture by its suffix")
    assert folders.startswith(f"diffseg: {folder}: skipped deeper/: sub-folders")
    assert cli.main([str(folder / "IMG_1.HEIC"), "-o", str(folder / "out")]) == 0
    assert stored(folder / "out" / "IMG_1.labels.png").shape == (4, 4)
    for number in range(9):
        (folder / f"{number}.txt").touch()
    cli.main([str(folder), "-o", str(folder / "out")])
    assert "skipped 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 5 more" in capsys.readouterr().err


def test_an_unusable_out_folder_and_an_empty_folder_are_errors(
    tmp_path: Path, halves: list[NDArray[np.uint8]], capsys: pytest.CaptureFixture[str]
) -> None:
    photo = save(tmp_path / "photos" / "a.png")
    for out in (photo, f"{photo}/deeper", str(tmp_path / "photos" / "..") + "/photos"):
        with pytest.raises(SystemExit) as caught:
            cli.main([str(tmp_path / "photos"), "-o", out])
        assert caught.value.code == 2
        assert capsys.readouterr().err.startswith("diffseg: argument -o/--out: ")
    with pytest.raises(SystemExit) as caught:
        cli.main([photo, "--json", f"{photo}/deeper/masks.json"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"diffseg: argument --json: cannot make the folder {photo}/deeper (")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit):
        cli.main([str(tmp_path / "empty"), "-o", str(tmp_path / "out")])
    assert "the folder holds no photographs" in capsys.readouterr().err
