"""The gallery: pictures and label maps of finished results, or the reason why they are missing."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffseg.pictures import palette
from eval.runs import read_runs
from experiments.plotting.colours import GREYS
from experiments.plotting.shown import shown_rows
from experiments.report.gallery import TILE, hardest, read_gallery
from tests.helpers.folder_rows import CLASSES, folder_overrides, write_picture
from tests.helpers.runs import evaluate

PLACE = ("folder", "square")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Results of two rows on three pictures of two classes."""
    rows = "rows=[{name: One, overrides: ['segmenter.clusters=1']}, {name: Three, overrides: ['segmenter.clusters=3']}]"
    done = evaluate(tmp_path / "run", *folder_overrides(tmp_path / "data", "abc"), "segmenter=kmeans_rgbxy", rows)
    assert done.status == 0, done.err
    return done.folder


def pixels(uri: str) -> np.ndarray:
    head, content = uri.split(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        return np.asarray(image.convert("RGBA"))


def test_pictures_with_label_maps_are_shown_in_the_colours_of_their_classes(run: Path) -> None:
    rows = shown_rows(read_runs(run))
    pictures, reasons = read_gallery(rows, 2)
    assert reasons == []
    assert list(pictures) == [(PLACE, "a"), (PLACE, "b")]
    road, sky, _ = ((*map(int, colour), 255) for colour in palette(len(CLASSES)))
    first = pictures[PLACE, "a"]
    assert first.classes == tuple(
        (name, f"#{bytes(palette(3)[label]).hex()}") for label, name in enumerate(CLASSES[:2])
    )
    assert set(first.labels) == {row.name for row in rows} == {"One", "Three"}
    assert pixels(first.photo).shape == (TILE, TILE, 4)
    one, three = (pixels(first.labels[row.name]) for row in rows)
    top, bottom = (TILE // 4, TILE // 2), (3 * TILE // 4, TILE // 2)
    truth = pixels(first.truth)
    assert (tuple(truth[top]), tuple(truth[bottom])) == (road, sky)
    assert tuple(one[top]) == tuple(one[bottom]) in (road, sky)  # a single segment
    colours = {tuple(colour) for colour in three.reshape(-1, 4).tolist()}
    # Two of three segments have a class; the third is hatched; lines between segments are white.
    assert colours == {road, sky, (255, 255, 255, 255), *((grey, grey, grey, 255) for grey in GREYS)}


def test_missing_label_maps_and_pictures_are_told(run: Path, tmp_path: Path) -> None:
    rows = shown_rows(read_runs(run))
    (tmp_path / "data" / "images" / "b.png").write_bytes(b"damaged")
    pictures, (reason,) = read_gallery(rows, 9)
    assert [id for _, id in pictures] == ["a", "c"]
    assert reason.startswith(f"{tmp_path}/data/images/b.png: ")
    (run / "labels" / rows[0].row.key / "c.png").unlink()
    assert list(read_gallery(rows, 9)[0][PLACE, "c"].labels) == ["Three"]
    shutil.rmtree(run / "labels")
    missing = "there are no label maps; the same command with labels=all keeps them"
    assert read_gallery(rows, 9) == ({}, [missing])
    write_picture(tmp_path / "data", "d")
    stale = "folder: its pictures or classes have changed since Three was evaluated"
    assert read_gallery(rows, 9) == ({}, [stale])


def test_the_hardest_pictures_come_first(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = shown_rows(read_runs(run))
    scores = iter([0.5, 0.1, 0.9, 0.5, 0.3, 0.7])  # of the pictures of both rows
    monkeypatch.setattr("experiments.report.gallery.mean_iou", lambda _: next(scores))
    assert hardest(rows, 2) == ["b", "a"]
