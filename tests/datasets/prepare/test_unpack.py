"""Archives that are damaged, or made to do harm. Nothing is written outside the target, and no wrong file appears."""

from __future__ import annotations

import io
import random
import re
import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from datasets.base import DatasetError
from datasets.prepare.unpack import unpack

NAMES = re.compile(r"(?:[^/]+/)?val2017/(\d+\.jpg)")
MOST = 20_000  # bytes
GOOD = {"val2017/1.jpg": b"one" * 100, "val2017/2.jpg": b"two" * 100, "train2017/3.jpg": b"three", "val2017/": b""}
UNPACKED = {"1.jpg": b"one" * 100, "2.jpg": b"two" * 100}


def zipped(entries: Mapping[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if not path.is_dir()}


def unpacked(tmp_path: Path, content: bytes, names: re.Pattern[str] = NAMES) -> dict[str, bytes]:
    """The files that the archive leaves in the target. Checks that it leaves none elsewhere."""
    archive, out = tmp_path / "a.zip", tmp_path / "deep" / "out"
    archive.write_bytes(content)
    try:
        unpack(archive, names, out, MOST)
    finally:
        files = everything(out)
        assert everything(tmp_path) == {"a.zip": content, **{f"deep/out/{path}": files[path] for path in files}}
    return files


def refusal(tmp_path: Path, content: bytes, names: re.Pattern[str] = NAMES) -> str:
    """Message of the refusal. Checks that it is one line that names the archive, and that nothing is written."""
    with pytest.raises(DatasetError, match=rf"^{tmp_path / 'a.zip'}: [^\n]*$") as error:
        unpacked(tmp_path, content, names)
    assert everything(tmp_path) == {"a.zip": content}
    return str(error.value)


def with_link(name: str) -> bytes:
    link = zipfile.ZipInfo(name)
    link.create_system = 3  # Unix
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zipped({link: b"/etc", **GOOD})


@pytest.mark.parametrize("front", ["", "stuffthingmaps/"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_only_needed_files_are_unpacked(tmp_path: Path, front: str, compression: int) -> None:
    content = zipped({f"{front}{name}": content for name, content in GOOD.items()}, compression)
    assert unpacked(tmp_path, content) == UNPACKED


@pytest.mark.parametrize(
    "name", ["../val2017/3.jpg", "val2017/../../../3.jpg", "/val2017/3.jpg", "..\\3.jpg", "C:\\3.jpg", "a\\3.jpg"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    assert repr(name) in refusal(tmp_path, zipped({**GOOD, name: b"harmless"}))


def test_a_target_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """The pattern can cut a relative name into an absolute path."""
    content = zipped({"val2017//3.jpg": b"harmless"})
    assert "leads out" in refusal(tmp_path, content, re.compile(r"val2017/(/3\.jpg)"))


def test_a_link_among_needed_files_is_refused(tmp_path: Path) -> None:
    assert "'val2017/3.jpg' in it is a link" in refusal(tmp_path, with_link("val2017/3.jpg"))
    assert unpacked(tmp_path, with_link("val2017")) == UNPACKED  # it is not unpacked, so it does no harm


def test_encrypted_and_unusually_compressed_files_are_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({"val2017/1.jpg": b"one"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "'val2017/1.jpg' in it is encrypted" in refusal(tmp_path, bytes(content))
    assert "unusual" in refusal(tmp_path, zipped(GOOD, zipfile.ZIP_LZMA))


def test_two_files_for_one_path_are_refused(tmp_path: Path) -> None:
    assert "is there twice" in refusal(tmp_path, zipped({**GOOD, "other/val2017/1.jpg": b"another"}))


def test_files_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    assert "30,000 bytes" in refusal(tmp_path, zipped({f"val2017/{i}.jpg": bytes(10_000) for i in range(3)}))
    assert unpacked(tmp_path, zipped({**GOOD, "train2017/4.jpg": bytes(100_000)})) == UNPACKED  # not needed


def test_whole_files_are_left_alone_and_damaged_ones_replaced(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    unpacked(tmp_path, zipped(GOOD))
    (out / "2.jpg").write_bytes(b"owt" * 100)  # same length
    (out / "mine.txt").write_bytes(b"mine")
    whole = (out / "1.jpg").stat().st_ino
    assert unpacked(tmp_path, zipped(GOOD)) == {**UNPACKED, "mine.txt": b"mine"}
    assert (out / "1.jpg").stat().st_ino == whole


def test_no_more_than_the_size_in_the_header_is_unpacked(tmp_path: Path) -> None:
    content = bytearray(zipped({"val2017/1.jpg": bytes(5_000_000)}))
    size = (5_000_000).to_bytes(4, "little")
    assert content.count(size) == 2  # in front of the file, and in the directory at the end
    with pytest.raises(DatasetError, match="damaged"):
        unpacked(tmp_path, content.replace(size, (5).to_bytes(4, "little")))
    assert sum(len(content) for content in everything(tmp_path / "deep").values()) <= 5
    assert not (tmp_path / "deep" / "out" / "1.jpg").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (zipped({"train2017/1.jpg": b"one"}), "another archive"),
        (b"<html>not found</html>", "damaged"),
        (b"", "damaged"),
    ],
)
def test_an_archive_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    assert reason in refusal(tmp_path, content)


def test_a_damaged_archive_never_yields_a_wrong_file(tmp_path: Path) -> None:
    """Archives are cut or overwritten at random places. Most of them must be refused."""
    generator = random.Random(0)
    good = zipped(GOOD)
    archive, out, refused = tmp_path / "a.zip", tmp_path / "out", 0
    for _ in range(400):
        content = bytearray(good)
        for _ in range(generator.choice([1, 3])):
            content[generator.randrange(len(content))] = generator.randrange(256)
        archive.write_bytes(content[: generator.choice([len(content), generator.randrange(len(content))])])
        try:
            unpack(archive, NAMES, out, MOST)
        except DatasetError as error:
            assert str(error).startswith(f"{archive}: ")  # noqa: PT017
            refused += 1
        assert {path.read_bytes() for path in out.glob("*.jpg")} <= set(GOOD.values())
        shutil.rmtree(out, ignore_errors=True)
    assert refused > 200


def test_a_disk_that_is_too_small_is_an_error_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 599))
    with pytest.raises(DatasetError, match="are free"):
        unpacked(tmp_path, zipped(GOOD))
    assert not (tmp_path / "deep").exists()
