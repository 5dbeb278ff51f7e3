"""Archives that are good, damaged, or made to do harm."""

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
from datasets.prepare import extract as module
from datasets.prepare.extract import Limits, select, unpack

MEMBERS = re.compile(r"(?:[^/]+/)?val2017/(\d+\.jpg)")
LIMITS = Limits(file=10_000, total=20_000)
GOOD = {"val2017/1.jpg": b"one" * 100, "val2017/2.jpg": b"two" * 100, "train2017/3.jpg": b"three", "val2017/": b""}


def zipped(entries: Mapping[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if not path.is_dir()}


def refusal(tmp_path: Path, content: bytes, limits: Limits = LIMITS) -> str:
    """Message of the refusal. Checks that nothing was written."""
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    with pytest.raises(DatasetError) as error:
        unpack(select(archive, MEMBERS, limits), tmp_path / "deep" / "out")
    message = str(error.value)
    assert message.startswith(f"{archive}: ")
    assert "\n" not in message
    assert everything(tmp_path) == {"a.zip": content}
    return message


@pytest.mark.parametrize("front", ["", "stuffthingmaps/"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_only_wanted_files_are_unpacked(tmp_path: Path, front: str, compression: int) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({f"{front}{name}": content for name, content in GOOD.items()}, compression))
    selection = select(archive, MEMBERS, LIMITS)
    assert selection.bytes == 600
    unpack(selection, tmp_path / "out")
    assert everything(tmp_path / "out") == {"1.jpg": b"one" * 100, "2.jpg": b"two" * 100}


def test_whole_files_are_left_alone_and_damaged_ones_replaced(tmp_path: Path) -> None:
    archive, out = tmp_path / "a.zip", tmp_path / "out"
    archive.write_bytes(zipped(GOOD))
    unpack(select(archive, MEMBERS, LIMITS), out)
    (out / "2.jpg").write_bytes(b"owt" * 100)  # same length
    (out / "mine.txt").write_bytes(b"mine")
    whole = (out / "1.jpg").stat().st_ino
    unpack(select(archive, MEMBERS, LIMITS), out)
    assert everything(out) == {"1.jpg": b"one" * 100, "2.jpg": b"two" * 100, "mine.txt": b"mine"}
    assert (out / "1.jpg").stat().st_ino == whole


@pytest.mark.parametrize(
    "name",
    [
        "../val2017/3.jpg",
        "val2017/../../../3.jpg",
        "/val2017/3.jpg",
        "/tmp/elsewhere.jpg",
        "..\\3.jpg",
        "C:\\3.jpg",
        "c:/val2017/3.jpg",
    ],
)
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    assert repr(name) in refusal(tmp_path, zipped({**GOOD, name: b"evil"}))


def with_link(name: str) -> bytes:
    link = zipfile.ZipInfo(name)
    link.create_system = 3  # Unix
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zipped({link: b"/etc", **GOOD})


def test_a_link_among_wanted_files_is_refused(tmp_path: Path) -> None:
    assert "is a link" in refusal(tmp_path, with_link("val2017/3.jpg"))
    # A link among the other files is not unpacked, so it does no harm.
    (tmp_path / "a.zip").write_bytes(with_link("val2017"))
    unpack(select(tmp_path / "a.zip", MEMBERS, LIMITS), tmp_path / "out")
    assert everything(tmp_path / "out") == {"1.jpg": b"one" * 100, "2.jpg": b"two" * 100}


def test_two_files_for_one_path_are_refused(tmp_path: Path) -> None:
    assert "twice" in refusal(tmp_path, zipped({**GOOD, "other/val2017/1.jpg": b"another"}))


def test_files_beyond_the_limits_are_refused(tmp_path: Path) -> None:
    zeros = zipped({"val2017/1.jpg": bytes(10_001)})
    assert len(zeros) < 200
    assert "10,001 bytes" in refusal(tmp_path, zeros)
    assert "30,000 bytes" in refusal(tmp_path, zipped({f"val2017/{i}.jpg": bytes(10_000) for i in range(3)}))
    # Files that are not unpacked may have any size.
    (tmp_path / "a.zip").write_bytes(zipped({**GOOD, "train2017/4.jpg": bytes(1_000_000)}))
    assert select(tmp_path / "a.zip", MEMBERS, LIMITS).bytes == 600


def test_no_more_than_the_size_in_the_header_is_unpacked(tmp_path: Path) -> None:
    """A bomb whose header says 5 bytes, so that it is within the limits."""
    content = bytearray(zipped({"val2017/1.jpg": bytes(5_000_000)}))
    size = (5_000_000).to_bytes(4, "little")
    assert content.count(size) == 2  # in front of the file, and in the directory at the end
    (tmp_path / "a.zip").write_bytes(content.replace(size, (5).to_bytes(4, "little")))
    with pytest.raises(DatasetError, match="damaged"):
        unpack(select(tmp_path / "a.zip", MEMBERS, LIMITS), tmp_path / "out")
    assert sum(len(content) for content in everything(tmp_path / "out").values()) <= 5
    assert not (tmp_path / "out" / "1.jpg").exists()


def test_encrypted_and_unusually_compressed_files_are_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({"val2017/1.jpg": b"one"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "'val2017/1.jpg' in it is encrypted" in refusal(tmp_path, bytes(content))
    assert "unusual" in refusal(tmp_path, zipped(GOOD, zipfile.ZIP_LZMA))


def test_another_archive_or_another_file_is_refused(tmp_path: Path) -> None:
    assert "another archive" in refusal(tmp_path, zipped({"train2017/1.jpg": b"one"}))
    assert "damaged" in refusal(tmp_path, b"<html>not found</html>")
    assert "damaged" in refusal(tmp_path, b"")


def test_a_damaged_archive_never_yields_a_wrong_file(tmp_path: Path) -> None:
    """Archives are cut or overwritten at random places. Most of them must be refused."""
    generator = random.Random(0)
    good = zipped(GOOD)
    archive, out, found = tmp_path / "a.zip", tmp_path / "out", 0
    for _ in range(400):
        content = bytearray(good)
        for _ in range(generator.choice([1, 3])):
            content[generator.randrange(len(content))] = generator.randrange(256)
        archive.write_bytes(content[: generator.choice([len(content), generator.randrange(len(content))])])
        try:
            unpack(select(archive, MEMBERS, LIMITS), out)
        except DatasetError as error:
            assert str(error).startswith(f"{archive}: ")  # noqa: PT017
            found += 1
        assert {path.read_bytes() for path in out.glob("*.jpg")} <= set(GOOD.values())
        shutil.rmtree(out, ignore_errors=True)
    assert found > 200


def test_a_disk_that_is_too_small_is_an_error_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 599))
    (tmp_path / "a.zip").write_bytes(zipped(GOOD))
    selection = select(tmp_path / "a.zip", MEMBERS, LIMITS)
    with pytest.raises(DatasetError, match="are free"):
        unpack(selection, tmp_path / "out")
    assert everything(tmp_path / "out") == {}
