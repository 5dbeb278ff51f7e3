"""The preparation of COCO-Stuff, end to end, on small copies of the real archives."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from datasets.cocostuff27 import OFFICIAL_LIST, CocoStuff27
from datasets.prepare import __main__ as prepare
from datasets.prepare import download, sets
from datasets.prepare.__main__ import main
from tests.helpers.archives import JUNK, error_line, pack
from tests.helpers.coco_folder import HEIGHT, IDS, WIDTH, image_of, label_of, write_annotations, write_folder
from tests.helpers.file_server import Behaviour, FileServer, running
from tests.helpers.makefile import command_of
from tests.helpers.sources import ZIPS, sources_for

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A prepared folder with a synthetic COCO."""
    folder = write_folder(tmp_path / "prepared")
    write_annotations(folder)
    (folder / OFFICIAL_LIST).write_text("".join(f"{id}\n" for id in IDS))
    return folder


@pytest.fixture
def files(prepared: Path, tmp_path: Path) -> dict[str, bytes]:
    """The same data as archives, laid out like the published ones, which also hold files that are not needed."""
    more = {"__MACOSX/val2017/._000000000139.jpg": b"resource fork", "train2017/000000000009.png": JUNK}
    things, stuff = (prepared / "annotations" / f"{name}_val2017.json" for name in ("instances", "stuff"))
    contents: dict[str, dict[str, Path | bytes]] = {
        "images": {f"val2017/{id}.jpg": image_of(prepared, id) for id in IDS},
        "stuffthingmaps": {**more, **{f"val2017/{id}.png": label_of(prepared, id) for id in IDS}},
        "instances": {"annotations/instances_val2017.json": things, "annotations/instances_train2017.json": b"{}"},
        "stuff": {"annotations/stuff_val2017.json": stuff, "annotations/stuff_val2017_pixelmaps.zip": b"PK"},
    }
    packed = {ZIPS[name]: pack(tmp_path / ZIPS[name], content) for name, content in contents.items()}
    return {**packed, OFFICIAL_LIST: (prepared / OFFICIAL_LIST).read_bytes()}


@pytest.fixture
def server(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running() as server:
        server.files = files
        monkeypatch.setattr(prepare, "SOURCES_YAML", sources_for(files, server.url(""), tmp_path / "sources.yaml"))
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "coco"


@pytest.fixture
def three_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CocoStuff27, "official_count", len(IDS))


def run(root: Path, *more: str) -> int:
    return main(["cocostuff", "--dir", str(root), *more])


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def published(prepared: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(prepared).items() if not name.startswith("annotations")}


def data_of(root: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(root).items() if not name.startswith((".", "archives"))}


@pytest.mark.usefixtures("three_are_all")
def test_the_first_run_prepares_the_folder_and_the_next_does_nothing(
    server: FileServer, prepared: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root) == 0
    assert data_of(root) == published(prepared)
    assert [name for name, _ in server.requests] == [OFFICIAL_LIST, ZIPS["stuffthingmaps"], ZIPS["images"]]
    said = capsys.readouterr().out
    assert re.search(r"downloads about 0\.0 GB \(.*val2017.zip.*\); needs 0\.0 GB", said)
    assert said.index("GB") < said.index(f"from {server.url(ZIPS['images'])}")  # printed before it begins
    assert f"{root}: 3 of 3 pictures, labels from stuffthingmaps: ready" in said
    dataset = CocoStuff27(root=str(root))
    assert dataset.ids == IDS
    dataset.load(IDS[0])

    digests = {name: hashlib.sha256(server.files[ZIPS[name]]).hexdigest() for name in ("stuffthingmaps", "images")}
    assert digests["stuffthingmaps"] in said  # no checksum of this archive is published
    assert digests["images"] not in said

    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    server.requests.clear()
    assert run(root) == 0
    shutil.rmtree(root / "archives")  # the output says that they are no longer needed
    assert run(root) == 0
    assert server.requests == []
    assert not (root / "archives").exists()
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path.is_file())


@pytest.mark.usefixtures("three_are_all")
def test_missing_pictures_are_unpacked_again(server: FileServer, prepared: Path, root: Path) -> None:
    assert run(root) == 0
    server.requests.clear()
    image_of(root, IDS[1]).unlink()
    label_of(root, IDS[2]).unlink()
    assert run(root) == 0
    assert data_of(root) == published(prepared)
    assert server.requests == []


@pytest.mark.usefixtures("three_are_all")
def test_a_folder_from_elsewhere_is_only_checked(server: FileServer, prepared: Path) -> None:
    """Such a folder may be read-only, so nothing is written."""
    before = contents(prepared)
    (prepared / "curated" / "val2017").mkdir(parents=True)
    (prepared / OFFICIAL_LIST).rename(prepared / "curated" / "val2017" / OFFICIAL_LIST)
    assert run(prepared) == 0
    assert run(prepared, "--labels", "json") == 0
    assert sorted(contents(prepared).values()) == sorted(before.values())
    assert server.requests == []


@pytest.mark.usefixtures("three_are_all", "server")
@pytest.mark.parametrize("labels", ["png", "json"])
def test_damaged_files_and_other_sizes_are_named(
    prepared: Path, labels: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = image_of(prepared, IDS[1])
    source = label_of(prepared, IDS[1]) if labels == "png" else prepared / "annotations" / "stuff_val2017.json"
    Image.new("RGB", (HEIGHT, WIDTH)).save(image)
    assert run(prepared, "--labels", labels) == 2
    sizes = f"error: {image} is {HEIGHT} x {WIDTH} pixels but its labels in {source} are {WIDTH} x {HEIGHT}; "
    assert error_line(capsys).startswith(sizes)
    image.write_bytes(b"no picture")
    assert run(prepared, "--labels", labels) == 2
    assert error_line(capsys).startswith(f"error: {image}: not a picture")
    image.write_bytes(image_of(prepared, IDS[0]).read_bytes())
    label_of(prepared, IDS[2]).write_bytes(b"no picture")
    assert run(prepared, "--labels", labels) == (2 if labels == "png" else 0)
    if labels == "png":
        assert error_line(capsys).startswith(f"error: {label_of(prepared, IDS[2])}: not a picture")


@pytest.mark.usefixtures("three_are_all")
def test_json_labels_replace_label_maps_that_cannot_be_downloaded(
    server: FileServer, prepared: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files.pop(ZIPS["stuffthingmaps"])
    assert run(root) == 2
    message = error_line(capsys)
    assert server.url(ZIPS["stuffthingmaps"]) in message
    assert "--labels json" in message
    assert not (root / "val2017").exists()  # labels come first, so nothing large was downloaded in vain

    assert run(root, "--labels", "json") == 0
    assert "labels from json" in capsys.readouterr().out
    unpacked = {name: content for name, content in contents(prepared).items() if not name.startswith("stuffthingmaps")}
    assert data_of(root) == unpacked
    assert CocoStuff27(root=str(root)).label_source == "json"
    CocoStuff27(root=str(root)).load(IDS[1])


def test_ctrl_c_ends_with_status_130(server: FileServer, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(sets, "obtain", interrupt)
    with pytest.raises(SystemExit, match="130"):
        run(root)


KILLABLE = """
import sys
from pathlib import Path
from datasets.prepare import __main__ as prepare
prepare.SOURCES_YAML = Path(sys.argv[1])
sys.exit(prepare.main(sys.argv[2:]))
"""


@pytest.mark.usefixtures("three_are_all")
def test_a_killed_download_is_continued(server: FileServer, prepared: Path, root: Path) -> None:
    server.usual = Behaviour(pause=0.005)
    command = [sys.executable, "-c", KILLABLE, str(prepare.SOURCES_YAML), "cocostuff", "--dir", str(root)]
    part = root / "archives" / f"{ZIPS['stuffthingmaps']}.part"
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size > len(JUNK) // 4):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = part.stat().st_size
    assert kept < len(server.files[ZIPS["stuffthingmaps"]])

    server.usual = Behaviour()
    server.requests.clear()
    assert run(root) == 0
    assert (ZIPS["stuffthingmaps"], f"bytes={kept}-") in server.requests
    assert (root / "archives" / ZIPS["stuffthingmaps"]).read_bytes() == server.files[ZIPS["stuffthingmaps"]]
    assert data_of(root) == published(prepared)


# The Makefile


def test_make_targets_pass_their_variables_on() -> None:
    for target, options, expected in (
        ("data-cocostuff", ["DIR=x y"], ["cocostuff", "--dir", "x y"]),
        ("data-cocostuff", ["ARGS=--labels json"], ["cocostuff", "--dir", "data/cocostuff", "--labels", "json"]),
        (
            "data-cityscapes",
            ["ARCHIVES=a.zip b.zip"],
            ["cityscapes", "--dir", "data/cityscapes", "--archives", "a.zip", "b.zip"],
        ),
        ("data-camvid", ["DIR=x y"], ["camvid", "--dir", "x y"]),
    ):
        words = command_of(target, *options)
        assert words[words.index("datasets.prepare") + 1 :] == expected


# Arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: dataset"),
        (["cocostuff"], "the following arguments are required: --dir"),
        (["camvid", "--dir", "x", "--labels", "png"], "unrecognized arguments: --labels png"),
        (["camvid", "--dir", "x", "--source", "archive=x"], "must be NAME=URL, where URL begins with http://"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert "--help" in printed
