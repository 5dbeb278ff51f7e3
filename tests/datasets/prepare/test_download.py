"""Downloads from a local server that cuts connections, reports wrong sizes and changes its files."""

from __future__ import annotations

import hashlib
import io
import shutil
import socket
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.base import DatasetError
from datasets.prepare import download as module
from datasets.prepare.download import ATTEMPTS, Source, announce, obtain
from tests.helpers.file_server import Behaviour, FileServer, running

CONTENT = np.random.default_rng(0).bytes(30_000)
OTHER = np.random.default_rng(1).bytes(30_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(module, "TIMEOUT", 5.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running() as server:
        server.files["data.bin"] = CONTENT
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archives" / "data.bin"


def source(server: FileServer, **keys: object) -> Source:
    return Source(name="images", url=server.url("data.bin"), file="data.bin", about=0, unpacked=0, **keys)  # type: ignore[arg-type]


def published(server: FileServer) -> Source:
    return source(server, size=len(CONTENT), sha256=SHA256)


def failure(source: Source, path: Path) -> str:
    with pytest.raises(DatasetError) as error:
        obtain(source, path)
    message = str(error.value)
    assert "\n" not in message
    assert source.url in message
    assert "--source images=" in message
    assert not path.exists()
    return message


def leave_part(path: Path, content: bytes) -> None:
    """Writes the file that a killed download leaves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name("data.bin.part").write_bytes(content)


def assert_complete(source: Source, path: Path) -> None:
    obtain(source, path)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_cut_connections_are_continued(server: FileServer, path: Path) -> None:
    """An attempt that brings new bytes does not count towards the limit, so there may be more attempts than that."""
    server.script.extend([Behaviour(cut=4_000)] * (ATTEMPTS + 1))
    assert_complete(published(server), path)
    assert server.ranges == [None] + [f"bytes={4_000 * i}-" for i in range(1, ATTEMPTS + 2)]


def test_a_server_that_ignores_ranges_and_always_cuts_is_given_up(server: FileServer, path: Path) -> None:
    """Attempts that begin at zero bring no new bytes, so they count towards the limit."""
    server.script.append(Behaviour(cut=10_000))
    server.script.extend([Behaviour(ranges=False, cut=5_000), Behaviour(ranges=False, cut=9_000)] * ATTEMPTS)
    failure(published(server), path)
    assert len(server.requests) == 1 + ATTEMPTS
    assert path.with_name("data.bin.part").read_bytes() == CONTENT[:5_000]


def test_a_download_killed_after_the_last_byte_is_completed(server: FileServer, path: Path) -> None:
    """If the size is published, no request is made. Otherwise the server answers that nothing is left."""
    leave_part(path, CONTENT)
    assert_complete(published(server), path)
    assert server.ranges == []
    path.rename(path.with_name("data.bin.part"))
    assert_complete(source(server), path)
    assert server.ranges == ["bytes=30000-"]


BEHAVIOURS = st.builds(
    Behaviour,
    status=st.sampled_from([None, None, None, 503, 0]),
    cut=st.one_of(st.none(), st.integers(0, len(CONTENT))),
    ranges=st.booleans(),
    shift=st.sampled_from([0, 0, 3]),
    length=st.booleans(),
)
PARTS = st.sampled_from([b"", CONTENT[:1000], CONTENT, OTHER[:1000], CONTENT + OTHER[:5], CONTENT * 2])


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(BEHAVIOURS, max_size=6), part=PARTS, other=st.booleans(), sized=st.booleans())
def test_whatever_the_server_does_the_file_is_the_published_one_or_absent(
    server: FileServer, tmp_path: Path, script: list[Behaviour], part: bytes, other: bool, sized: bool
) -> None:
    """Also if an earlier run left a part of this file or of another one. The next run completes it."""
    path = tmp_path / "archives" / "data.bin"
    shutil.rmtree(path.parent, ignore_errors=True)
    if part:
        leave_part(path, part)
    server.script.clear()
    server.script.extend(script)
    server.files["data.bin"] = OTHER if other else CONTENT
    expected = source(server, sha256=SHA256, size=len(CONTENT) if sized else None)
    try:
        obtain(expected, path)
    except DatasetError:
        assert other or script or not CONTENT.startswith(part)
        assert not path.exists()
        server.files["data.bin"] = CONTENT
        server.script.clear()
        try:
            obtain(expected, path)
        except DatasetError:  # the part was of another file: it has been set aside
            obtain(expected, path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 403])
def test_refusals_are_not_tried_again(server: FileServer, path: Path, status: int) -> None:
    server.usual = Behaviour(status=status)
    assert str(status) in failure(source(server), path)
    assert len(server.requests) == 1


def test_a_file_with_a_wrong_checksum_is_set_aside(server: FileServer, path: Path) -> None:
    server.files["data.bin"] = OTHER
    message = failure(published(server), path)
    assert SHA256 in message
    assert hashlib.sha256(OTHER).hexdigest() in message
    assert path.with_name("data.bin.rejected").read_bytes() == OTHER
    assert len(server.requests) == 1
    # The file set aside is not continued as a part of the right one.
    server.files["data.bin"] = CONTENT
    obtain(published(server), path)
    assert server.ranges == [None, None]


def test_a_wrong_size_is_refused_before_the_download(server: FileServer, path: Path) -> None:
    leave_part(path, CONTENT[:1000])
    server.files["data.bin"] = OTHER[:-1]
    message = failure(published(server), path)
    assert "29,999 bytes" in message
    assert "30,000" in message
    assert path.with_name("data.bin.part").read_bytes() == CONTENT[:1000]  # the good part is kept


def test_an_archive_cut_by_a_too_small_content_length_is_set_aside(server: FileServer, path: Path) -> None:
    """Without a checksum, the only sign is that the file is no complete archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x", CONTENT)
    server.files["data.zip"] = stream.getvalue()
    server.usual = Behaviour(extra=-10)
    bare = Source(name="images", url=server.url("data.zip"), file="data.zip", about=0, unpacked=0)
    path = path.with_name("data.zip")
    assert "zip" in failure(bare, path)
    assert path.with_name("data.zip.rejected").exists()
    server.usual = Behaviour()
    obtain(bare, path)
    assert path.read_bytes() == server.files["data.zip"]


def test_temporary_errors_are_tried_again_after_longer_pauses(
    server: FileServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script.extend(Behaviour(status=status) for status in (500, 503, 429, 0))
    assert_complete(source(server), path)
    pauses: list[float] = []
    monkeypatch.setattr(module, "PAUSE", 1.0)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: pauses.append(seconds) if seconds else None)
    server.script.append(Behaviour(cut=10_000))
    server.usual = Behaviour(status=500)
    path = path.with_name("again.bin")
    assert f"500 (Internal Server Error) ({ATTEMPTS} attempts)" in failure(source(server), path)
    assert pauses == [1.0, 1.0, 2.0, 4.0, 8.0]  # the first connection brought bytes


def test_a_server_that_is_down_is_an_error_at_once(
    server: FileServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first byte, no attempt is repeated and no folder is made."""
    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        down = replace(source(server), url=f"http://127.0.0.1:{free.getsockname()[1]}/data.bin")
    message = failure(down, path)
    assert "refused" in message
    assert 'ARGS="--source images=URL"' in message
    assert pauses == []
    assert not path.parent.exists()


def test_a_silent_server_is_asked_again_after_the_timeout(
    server: FileServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    server.script.append(Behaviour(pause=0.6))
    assert_complete(published(server), path)
    assert len(server.requests) == 2


def test_a_web_page_instead_of_the_file_is_refused(server: FileServer, path: Path) -> None:
    leave_part(path, CONTENT[:1000])
    server.usual = Behaviour(content_type="text/html; charset=utf-8")
    assert "web page" in failure(source(server), path)
    assert path.with_name("data.bin.part").read_bytes() == CONTENT[:1000]


def test_a_full_disk_is_not_tried_again(server: FileServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full, which plays the full disk")
    path.parent.mkdir()
    path.with_name("data.bin.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        obtain(published(server), path)
    assert len(server.requests) <= 1


def test_a_file_that_is_there_is_checked_and_its_sha256_printed_if_none_is_published(
    server: FileServer, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):  # downloaded, then already there
        obtain(source(server), path)
        printed = capsys.readouterr().out
        assert f"data.bin: its publisher gives no checksum; the sha256 of this file is {SHA256}" in printed
        assert (f"from {server.url('data.bin')}" in printed) == (number == 0)
        obtain(published(server), path)
        assert SHA256 not in capsys.readouterr().out
    assert len(server.requests) == 1
    path.write_bytes(OTHER)
    with pytest.raises(DatasetError, match=rf"^{path}: not the published file, because its sha256 is .*; move it away"):
        obtain(published(server), path)
    assert path.read_bytes() == OTHER


def test_the_announced_size_leaves_out_the_bytes_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [Source(name, "http://127.0.0.1/", name, about=0.002, unpacked=0.001) for name in ("a.zip", "b.zip")]
    archives = tmp_path / "archives"
    archives.mkdir()
    free = 3_500_000
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, free))
    with pytest.raises(DatasetError, match=rf"^{tmp_path}: 0\.0 GB are needed"):  # 6 MB
        announce(tmp_path, sources)
    (archives / "a.zip").write_bytes(b"whole")
    (archives / "b.zip.part").write_bytes(bytes(600_000))
    capsys.readouterr()
    announce(tmp_path, sources)  # 1.4 MB to download, 2 MB to unpack
    assert f"{tmp_path}: downloads about 0.0 GB (b.zip 0.0014); needs 0.0 GB on the disk" in capsys.readouterr().out
