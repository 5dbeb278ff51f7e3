"""The preparation of BSDS500, end to end, on a small archive packed as GitHub does."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from datasets.bsds500 import COUNTS, Bsds500
from datasets.prepare import __main__ as prepare
from datasets.prepare.__main__ import main
from datasets.prepare.bsds500 import CHECKSUMS
from tests.helpers.archives import JUNK, error_line, pack
from tests.helpers.bsds import write_truth

TOP = "BSDS500-a04b7c6"
IDS = {"train": ("12003",), "val": ("3096",), "test": ("100007", "2018")}
SHAPE = (6, 8)


@pytest.fixture
def release(tmp_path: Path) -> dict[str, bytes]:
    """Path below the folder of the data set -> content."""
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
def root(tmp_path: Path, release: dict[str, bytes]) -> Path:
    """Folder of the data set with the archive in it, and beside it the list of its files."""
    root = tmp_path / "data" / "bsds500"
    store(root, release)
    lines = [f"{path},{len(content)},{hashlib.sha256(content).hexdigest()}" for path, content in release.items()]
    (tmp_path / "list.csv").write_text("\n".join(["path,bytes,sha256", *lines]))
    return root


def store(root: Path, release: dict[str, bytes]) -> Path:
    more = {
        "README.md": b"mirror",
        "bench/data/images/5.jpg": JUNK,
        "BSDS500/data/images/test/Thumbs.db": b"of Windows",
    }
    entries: dict[str, Path | bytes] = {f"{TOP}/{path}": content for path, content in {**more, **release}.items()}
    archive = root / "archives" / "BSDS500-master.zip"  # the name that a browser gives it
    archive.parent.mkdir(parents=True, exist_ok=True)
    pack(archive, entries)
    return archive


def run(root: Path, *more: str) -> int:
    return main(["bsds500", "--dir", str(root), "--checksums", str(root.parents[1] / "list.csv"), *more])


def unpacked(root: Path) -> dict[str, bytes]:
    files = (path for path in (root / "BSDS500").rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_only_the_data_are_unpacked_and_hierarchies_on_demand(
    root: Path, release: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root) == 0
    assert unpacked(root) == {path: content for path, content in release.items() if "ucm2" not in path}
    said = capsys.readouterr().out
    assert "all 8 files have the published size and sha256" in said
    assert f"{root}: 2 of 200 pictures, labels from groundTruth/test: ready; evaluate with dataset.root={root}" in said
    assert len(Bsds500(root=str(root)).load("2018").people) == 2
    assert run(root, "--hierarchies") == 0
    assert unpacked(root) == release
    (root / "archives" / "BSDS500-master.zip").unlink()
    assert run(root, "--hierarchies") == 0  # complete data are only checked


def test_without_an_archive_it_is_downloaded(root: Path, release: dict[str, bytes], tmp_path: Path) -> None:
    moved = (root / "archives" / "BSDS500-master.zip").rename(tmp_path / "moved.zip")
    assert run(root, "--source", f"archive={moved.as_uri()}") == 0
    assert (root / "archives" / "BSDS500.zip").read_bytes() == moved.read_bytes()


def test_incomplete_and_damaged_data_are_refused(
    root: Path, release: dict[str, bytes], capsys: pytest.CaptureFixture[str]
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
    assert "2 pictures are there, the published list has 1" in error_line(capsys)
    # Without a list of its own, the command asks for all 500 pictures.
    added.unlink()
    assert main(["bsds500", "--dir", str(root)]) == 2
    assert "(992 of 1,000 files are missing)" in error_line(capsys)


def test_our_list_has_every_file_of_the_mirror(shared: Path) -> None:
    lines = list(csv.DictReader(CHECKSUMS.read_text().splitlines()))
    published = {line["path"]: (int(line["bytes"]), line["sha256"]) for line in lines}
    folders = Counter(path.rpartition("/")[0] for path in published)
    for folder in ("data/images", "data/groundTruth", "ucm2"):
        assert {split: folders.pop(f"BSDS500/{folder}/{split}") for split in COUNTS} == COUNTS
    assert folders == {"BSDS500/ucm2/test_eval": 8}
    sample = shared / "data" / "bsds500"
    files = [path for path in sorted(sample.rglob("*")) if path.is_file() and path.name != "Thumbs.db"]
    assert len(files) == 2 * (20 + 12) + 20 + 8
    for path in files:
        content = path.read_bytes()
        expected = (len(content), hashlib.sha256(content).hexdigest())
        assert published[path.relative_to(sample).as_posix()] == expected


def test_the_address_is_one_commit_of_the_mirror() -> None:
    url = yaml.safe_load(prepare.SOURCES_YAML.read_text())["bsds500"]["archive"]["url"]
    assert url.startswith("https://github.com/BIDS/BSDS500/archive/a04b7c6")
