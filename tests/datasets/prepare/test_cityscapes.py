"""The preparation of Cityscapes, end to end, on small copies of the real archives."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.prepare.__main__ import main
from tests.helpers.archives import JUNK, error_line, pack

IDS = ("frankfurt_000000_000294", "lindau_000000_000019", "munster_000173_000019")


@pytest.fixture
def cityscapes(tmp_path: Path) -> dict[str, Path]:
    """Both archives, laid out as the real ones."""
    picture, values = tmp_path / "picture.png", tmp_path / "values.png"
    Image.new("RGB", (20, 10), "red").save(picture)
    Image.fromarray(np.full((10, 20), 7, np.uint8)).save(values)
    images: dict[str, Path | bytes] = {"README": b"", "leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png": JUNK}
    labels: dict[str, Path | bytes] = {"README": b"", "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png": JUNK}
    for id in IDS:
        city = id.split("_")[0]
        images[f"leftImg8bit/val/{city}/{id}_leftImg8bit.png"] = picture
        labels[f"gtFine/val/{city}/{id}_gtFine_labelIds.png"] = values
        labels[f"gtFine/val/{city}/{id}_gtFine_instanceIds.png"] = values
        labels[f"gtFine/val/{city}/{id}_gtFine_color.png"] = JUNK
    names = {"images": "leftImg8bit_trainvaltest.zip", "labels": "gtFine_trainvaltest.zip"}
    for name, content in ((names["images"], images), (names["labels"], labels)):
        pack(tmp_path / name, content)
    return {key: tmp_path / name for key, name in names.items()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "cityscapes"


def run(root: Path, *more: str | Path) -> int:
    return main(["cityscapes", "--dir", str(root), *map(str, more)])


@pytest.mark.parametrize("place", ["named", "renamed", "in the folder"])
def test_both_archives_are_unpacked_wherever_they_lie(
    cityscapes: dict[str, Path], root: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root.mkdir(parents=True)
    if place == "in the folder":
        for path in cityscapes.values():
            shutil.move(path, root)
        assert run(root) == 1
    else:
        paths = [path.rename(path.with_suffix(".2")) if place == "renamed" else path for path in cityscapes.values()]
        assert run(root, "--archives", *paths) == 1
    message = error_line(capsys)
    assert "3 of 500 pictures" in message
    assert run(root, "--allow-partial") == 0
    assert "labels from gtFine: ready" in capsys.readouterr().out
    unpacked = {str(path.relative_to(root)) for path in root.rglob("*.png")}
    assert unpacked == {
        path.format(id.split("_")[0], id)
        for id in IDS
        for path in (
            "leftImg8bit/val/{}/{}_leftImg8bit.png",
            "gtFine/val/{}/{}_gtFine_labelIds.png",
            "gtFine/val/{}/{}_gtFine_instanceIds.png",
        )
    }


def test_a_complete_folder_is_only_checked(
    cityscapes: dict[str, Path], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.cityscapes27.Cityscapes27.official_count", 3)
    assert run(root, "--archives", *cityscapes.values()) == 0
    assert run(root, "--archives", root.parent / "gone.zip") == 0


def test_missing_archives_are_named(
    cityscapes: dict[str, Path], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root) == 2
    assert not root.exists()
    message = error_line(capsys)
    for part in (*(path.name for path in cityscapes.values()), "cityscapes-dataset.com", "ARCHIVES=", str(root)):
        assert part in message
    assert run(root, "--archives", cityscapes["images"]) == 2
    assert str(root / "gtFine" / "val") in error_line(capsys)
    assert run(root, "--archives", root.parent) == 2
    assert "give it as DIR" in error_line(capsys)
    assert run(root, "--archives", cityscapes["labels"], root / "absent.zip") == 2
    assert error_line(capsys).startswith(f"error: {root / 'absent.zip'}: the archive is missing")


def test_a_folder_that_cannot_be_made_is_named(
    cityscapes: dict[str, Path], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root.parent.write_bytes(b"")
    assert run(root, "--archives", *cityscapes.values()) == 2
    assert error_line(capsys).startswith(f"error: {root}: [Errno ")
