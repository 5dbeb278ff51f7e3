"""The files of ``sources.yaml``: addresses, checks, and the announced size."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from datasets.base import DatasetError
from datasets.cocostuff27 import OFFICIAL_LIST
from datasets.prepare.__main__ import SOURCES_YAML
from datasets.prepare.download import Source
from datasets.prepare.sources import announce, obtain, sources_of
from tests.helpers.sources import ZIPS

CONTENT = b"a list of pictures"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ENTRIES = {
    "images": {"url": "http://127.0.0.1/a/images.zip", "about": 0.8, "unpacked": 0.7},
    "list": {"url": "http://127.0.0.1/x", "file": "list.txt", "about": 0.0, "unpacked": 0.0, "sha256": SHA256},
}


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A list of pictures on this machine."""
    (tmp_path / "published").write_bytes(CONTENT)
    return sources_of(ENTRIES, {"list": (tmp_path / "published").as_uri()})["list"]


def test_a_file_has_the_name_of_its_public_address_wherever_it_comes_from() -> None:
    sources = sources_of(ENTRIES, {"images": "file:///tmp/renamed.zip"})
    assert (sources["images"].name, sources["images"].file) == ("images", "images.zip")
    assert sources["images"].url == "file:///tmp/renamed.zip"
    assert (sources["list"].file, sources["list"].url) == ("list.txt", "http://127.0.0.1/x")
    with pytest.raises(DatasetError, match=r"^--source pictures: unknown source; known: images, list$"):
        sources_of(ENTRIES, {"pictures": "http://127.0.0.1/"})


def test_a_file_is_downloaded_once_and_checked_each_time(source: Source, tmp_path: Path) -> None:
    path = tmp_path / "data" / "list.txt"
    obtain(source, path)
    assert path.read_bytes() == CONTENT
    (tmp_path / "published").unlink()
    obtain(source, path)
    path.write_bytes(b"another list")
    with pytest.raises(DatasetError, match=rf"^{path}: not the published file, because its sha256 is .*; move it away"):
        obtain(source, path)
    assert path.read_bytes() == b"another list"


def test_the_sha256_is_printed_only_if_none_is_published(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):  # downloaded, then already there
        obtain(source, tmp_path / "a" / "list.txt")
        assert SHA256 not in capsys.readouterr().out
        obtain(replace(source, sha256=None), tmp_path / "b" / "list.txt")
        printed = capsys.readouterr().out
        assert f"list.txt: its publisher gives no checksum; the sha256 of this file is {SHA256}" in printed
        assert (f"from {source.url}" in printed) == (number == 0)


def test_the_announced_size_leaves_out_the_bytes_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [replace(source, about=0.002, unpacked=0.001) for source in sources_of(ENTRIES, {}).values()]
    archives = tmp_path / "archives"
    archives.mkdir()
    free = 3_500_000
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, free))
    with pytest.raises(DatasetError, match=rf"^{tmp_path}: 0\.0 GB are needed"):  # 6 MB
        announce(tmp_path, sources)
    (archives / "images.zip").write_bytes(b"whole")
    (archives / "list.txt.part").write_bytes(bytes(600_000))
    capsys.readouterr()
    announce(tmp_path, sources)  # 1.4 MB to download, 2 MB to unpack
    assert f"{tmp_path}: downloads about 0.0 GB (list.txt 0.0014); needs 0.0 GB on the disk" in capsys.readouterr().out


def test_our_sources_are_those_of_the_reference_list(shared: Path) -> None:
    entries = yaml.safe_load(SOURCES_YAML.read_text())
    sources = sources_of(entries["cocostuff"], {})
    facts = (shared / "facts" / "sources.csv").read_text()
    assert all(source.url in facts for source in sources.values())
    assert {name: sources[name].file for name in ZIPS} == ZIPS
    assert sources["list"].file == OFFICIAL_LIST
    assert sources["list"].sha256 == hashlib.sha256((shared / "data" / OFFICIAL_LIST).read_bytes()).hexdigest()
    assert all(len(source.sha256) == 64 for source in sources.values() if source.sha256)
    assert all(isinstance(source, Source) for source in sources.values())
