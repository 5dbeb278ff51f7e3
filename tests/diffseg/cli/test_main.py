"""The command line: with real weights on real photographs, and with a simple stand-in for the model."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as run_lengths

import diffseg
from diffseg.backbones.image import centre_crop, resize_image
from diffseg.backbones.vit import ViT
from diffseg.cli import main as cli
from diffseg.cli import options as cli_options
from diffseg.files.photographs import read_photo
from diffseg.pictures import by_area
from tests.helpers.command_line import COFFEE, FLOWER, contents, packaged, run, save, stored


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, dinov2: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Folder and outcome of a run on two photographs and, between them, a JPEG cut short."""
    folder = tmp_path_factory.mktemp("cli")
    cut = folder / "cut.jpg"
    cut.write_bytes(packaged(*FLOWER).read_bytes()[:-2000])
    return folder, run(packaged(*FLOWER), cut, packaged(*COFFEE), "-o", folder / "new" / "out")


def test_a_run_goes_on_after_a_photograph_that_cannot_be_read(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, outcome = finished
    out = folder / "new" / "out"
    assert outcome.returncode == 1
    complaint, count = outcome.stderr.splitlines()
    assert complaint.startswith(f"diffseg: {folder / 'cut.jpg'}: cannot be decoded (image file is truncated")
    assert count == "diffseg: 1 of 3 photographs could not be read"
    flower, coffee, sheet = outcome.stdout.splitlines()
    assert re.fullmatch(rf"{packaged(*FLOWER)}: \d+ segments, {out}/flower.labels.png, flower.overlay.png", flower)
    assert re.fullmatch(rf"{packaged(*COFFEE)}: \d+ segments, {out}/coffee.labels.png, coffee.overlay.png", coffee)
    assert sheet == f"contact sheet: {out}/contact_sheet.png"
    kinds = ("labels", "overlay")
    for source in (FLOWER, COFFEE):
        labels = stored(out / f"{packaged(*source).stem}.labels.png")
        assert labels.shape == read_photo(packaged(*source)).shape[:2]
        assert f"{packaged(*source)}: {labels.max() + 1} segments" in outcome.stdout
    assert set(contents(out)) == {f"{n}.{k}.png" for n in ("flower", "coffee") for k in kinds} | {"contact_sheet.png"}


def test_a_segment_covers_the_flower(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    labels = stored(finished[0] / "new" / "out" / "flower.labels.png")
    photo = read_photo(packaged(*FLOWER)).astype(int)
    orange = photo[..., 0] - photo[..., 2] > 60
    segment = labels == labels[210, 310]  # the heart of the dahlia
    assert (segment & orange).sum() / (segment | orange).sum() > 0.7  # a second flower is cut by the lower edge
    assert labels[0, 0] == labels[0, -1] != labels[210, 310]


def test_a_second_run_writes_the_same_bytes(
    finished: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    assert cli.main([str(packaged(*FLOWER)), str(packaged(*COFFEE)), "-o", str(tmp_path)]) == 0
    assert contents(tmp_path) == contents(finished[0] / "new" / "out")


def test_a_cropped_photograph_gets_the_segments_of_the_library(dinov2: Path, tmp_path: Path) -> None:
    options = ["--weights", "1,0.5,0", "--scheme", "paper", "--tau", "0.2", "--anchors", "8", "--iterations", "4"]
    assert cli.main([str(packaged(*COFFEE)), "-o", str(tmp_path), "--crop", "--device", "cpu", *options]) == 0
    square = centre_crop(read_photo(packaged(*COFFEE)))
    maps = ViT().load("cpu").attend(resize_image(square, 448)[None])[0]
    aggregated = diffseg.aggregate(maps, {32: 1.0, 16: 0.5, 8: 0.0}, "paper")
    expected = diffseg.segment(aggregated, 0.2, 8, 4, grid="even", size=len(square))
    np.testing.assert_array_equal(stored(tmp_path / "coffee.labels.png"), by_area(expected.numpy()))


def test_contact_sheets_are_filled_in_turn(tmp_path: Path, halves: list[NDArray[np.uint8]]) -> None:
    count = 2 * cli_options.ROWS_A_SHEET + 1
    photos = [save(tmp_path / f"{i:02}.png") for i in range(count)]
    broken = tmp_path / "zz.png"  # the last, so that the last sheet must not wait for it
    broken.write_bytes(b"no picture")
    assert cli.main([*photos, str(broken), "-o", str(tmp_path / "out")]) == 1
    sheets = [
        stored(tmp_path / "out" / name) for name in ("contact_sheet.png", "contact_sheet_2.png", "contact_sheet_3.png")
    ]
    assert not (tmp_path / "out" / "contact_sheet_4.png").exists()
    assert sheets[0].shape == sheets[1].shape
    assert sheets[2].shape[0] < sheets[0].shape[0] / cli_options.ROWS_A_SHEET * 1.5


@pytest.mark.parametrize("shape", [(6, 9, 3), (10, 7, 3), (5, 5, 3)])
def test_crop_segments_the_centred_square(
    tmp_path: Path, halves: list[NDArray[np.uint8]], shape: tuple[int, int, int]
) -> None:
    photo = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "a.png")
    for options, expected in (((), photo), (("--crop",), centre_crop(photo))):
        assert cli.main([str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), *options]) == 0
        np.testing.assert_array_equal(halves.pop(), expected)
        assert stored(tmp_path / "out" / "a.labels.png").shape == expected.shape[:2]


def test_no_file_is_written_if_no_photograph_can_be_read(
    tmp_path: Path, halves: list[NDArray[np.uint8]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([str(tmp_path / "missing.jpg"), "-o", str(tmp_path / "out")]) == 1
    assert not contents(tmp_path / "out")
    outcome = capsys.readouterr()
    assert outcome.out == ""
    assert outcome.err == (
        f"diffseg: {tmp_path / 'missing.jpg'}: No such file or directory\n"
        "diffseg: 1 of 1 photographs could not be read\n"
    )


def test_masks_are_written_as_json(
    tmp_path: Path, halves: list[NDArray[np.uint8]], capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [save(tmp_path / "a" / "cat.png"), save(tmp_path / "b" / "cat.png", width=10)]
    for arguments in (["--json"], ["-o", str(tmp_path / "out"), "--json", "-"]):
        assert cli.main([*photos, *arguments]) == 0
        printed = capsys.readouterr()
        lines = [json.loads(line) for line in printed.out.splitlines()]
        assert [line["file"] for line in lines] == photos
        assert [line["name"] for line in lines] == ["cat", "cat_2"]
        assert (lines[1]["height"], lines[1]["width"]) == (6, 10)
        assert [segment["bbox"] for segment in lines[1]["segments"]] == [[0, 0, 5, 6], [5, 0, 5, 6]]
        mask = run_lengths.decode(lines[1]["segments"][1]["segmentation"])
        np.testing.assert_array_equal(mask, [[0] * 5 + [1] * 5] * 6)
        assert f"{photos[0]}: 2 segments" in printed.err
    assert (tmp_path / "out" / "cat_2.labels.png").is_file()
    file = tmp_path / "new" / "masks.json"
    assert cli.main([photos[0], "--json", str(file)]) == 0
    assert json.loads(file.read_text()) == lines[0]
    assert cli.main(["--json", *photos]) == 0  # --json without FILE: the argument after it is a photograph
    assert [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()[1:]] == photos


def test_a_photograph_is_read_from_standard_input(
    tmp_path: Path, halves: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = Path(save(tmp_path / "a.png")).read_bytes()
    for given, status in ((content, 0), (content[:40], 1), (b"", 1)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        assert cli.main(["-", "-o", str(tmp_path / "out")]) == status
    assert stored(tmp_path / "out" / "stdin.labels.png").shape == (6, 8)
    complaints = capsys.readouterr().err.splitlines()
    assert complaints[0].startswith("diffseg: standard input: ")
    assert complaints[2] == "diffseg: standard input: the file is empty; copy, download or write it again"


def test_an_oblong_photograph_is_mentioned_once(
    tmp_path: Path, halves: list[NDArray[np.uint8]], capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [save(tmp_path / f"{width}.png", width=width) for width in (12, 13, 30)]  # all 6 high
    assert cli.main([*photos, "-o", str(tmp_path / "out")]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"diffseg: {photos[1]}: 13 x 6 pixels are squeezed into a square")
    assert cli.main([*photos, "-o", str(tmp_path / "out"), "--crop"]) == 0
    assert capsys.readouterr().err == ""


def test_a_line_is_printed_as_soon_as_a_photograph_is_done(
    tmp_path: Path, halves: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl+C at the third photograph, a pipe has received two lines."""
    photos = [save(tmp_path / f"{number}.png") for number in range(4)]
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe))  # holds back what is not flushed
    read = cli._read
    monkeypatch.setattr(cli, "_read", lambda photo: interrupt() if str(photo) == photos[2] else read(photo))
    with pytest.raises(SystemExit) as caught:
        cli.main([*photos, "-o", str(tmp_path / "out")])
    assert caught.value.code == 130
    assert [line.split(": ")[0] for line in pipe.getvalue().decode().splitlines()] == photos[:2]
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        f"{number}.{kind}.png" for number in (0, 1) for kind in ("labels", "overlay")
    }


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


def test_a_full_disk_is_one_line(
    tmp_path: Path,
    halves: list[NDArray[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = [save(tmp_path / f"{number}.png") for number in range(3)]
    out, full = tmp_path / "out", tmp_path / "out" / "1.overlay.png"
    saved = Image.Image.save

    def save_or_fail(image: Image.Image, path: Path, **options: object) -> None:
        if path.name == f".{full.name}.tmp":
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        saved(image, path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "save", save_or_fail)
    with pytest.raises(SystemExit) as caught:
        cli.main([*photos, "-o", str(out)])
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.err == (
        f"diffseg: {full}: cannot be written (No space left on device); all files in {out} are complete\n"
    )
    assert printed.out.splitlines() == [f"{photos[0]}: 2 segments, {out}/0.labels.png, 0.overlay.png"]
    assert set(contents(out)) == {"0.labels.png", "0.overlay.png", "1.labels.png"}


def test_a_backbone_of_the_user_can_be_chosen_and_set(sd: Path, tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", 32, 32)
    (tmp_path / "conf" / "backbone").mkdir(parents=True)
    (tmp_path / "conf" / "backbone" / "tiny.yaml").write_text(f"defaults: [sd14]\npath: {sd}\nsize: 64\n")
    mine = ["--config-dir", str(tmp_path / "conf"), "--backbone", "tiny", "--set", "backbone.timestep=9"]
    assert cli.main([photo, "-o", str(tmp_path), *mine, "--segmenter", "diffcut"]) == 0
    assert stored(tmp_path / "a.labels.png").shape == (32, 32)


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert re.fullmatch(
        rf"diffseg {re.escape(diffseg.__version__)}(, commit \w+(, changed)?)?\n", capsys.readouterr().out
    )
