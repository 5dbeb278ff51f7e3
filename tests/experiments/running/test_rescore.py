"""``--rescore DIR`` computes from label maps and truth what a fresh run computes, or refuses in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from diffseg.segmenters.kmeans_rgbxy import KMeansRGBXY
from eval.label_maps import write_label_map
from tests.helpers.folder_rows import folder_overrides
from tests.helpers.runs import Run, command, evaluate, without_timings

Evaluate = Callable[..., Run]
TABLES = ("summary.csv", "per_image.csv", "per_class.csv", "confusion.csv", "table.md")


@pytest.fixture
def run(tmp_path: Path) -> Evaluate:
    """Two rows on three pictures of three classes."""
    (tmp_path / "classes.csv").write_text("value,label,name\n0,0,road\n1,1,sky\n2,2,tree\n")
    data = (*folder_overrides(tmp_path / "data", "abc", classes=3), f"dataset.classes={tmp_path / 'classes.csv'}")

    def call(*overrides: str, folder: str = "run") -> Run:
        settings = (*data, "segmenter=kmeans_rgbxy", "segmenter.clusters=2,3", *overrides)
        return evaluate(tmp_path / folder, *settings, multirun=True)

    return call


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.mark.parametrize("protocol", ["regions", "present"])
def test_a_new_protocol_has_the_figures_of_a_fresh_run(
    run: Evaluate, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """Without a segmenter, and without a change to what was recorded. The same figures come from a new command."""
    first = run("protocol=official")
    fresh = run(f"protocol.report=[official,{protocol}]", folder="fresh")
    kept = (first.folder / "records.jsonl").read_bytes()

    def segment(self: object, scene: object) -> None:
        raise AssertionError("a segmenter ran")

    monkeypatch.setattr(KMeansRGBXY, "prepare", segment)
    rescored = command("--rescore", str(first.folder), f"protocol={protocol}", folder=first.folder)
    assert rescored.status == 0, rescored.err
    files, of_fresh = without_timings(first.folder), without_timings(fresh.folder)
    for name in TABLES:
        assert files.get(name) == of_fresh.get(name), name
    assert (first.folder / "records.jsonl").read_bytes().startswith(kept)
    again = run(f"protocol.report=[official,{protocol}]")  # everything is there
    assert again.status == 0, again.err


def remove_maps(folder: Path) -> None:
    for path in sorted((folder / "labels").glob("*/*.png"))[:2]:
        path.unlink()


def change_truth(folder: Path) -> None:
    truth = np.random.default_rng(0).integers(0, 3, (8, 8)).astype(np.uint8)
    Image.fromarray(truth).save(folder.parent / "data" / "maps" / "b.png")


def rename_classes(folder: Path) -> None:
    (folder.parent / "classes.csv").write_text("value,label,name\n0,0,sky\n1,1,road\n2,2,tree\n")


def resize_map(folder: Path) -> None:
    write_label_map(next((folder / "labels").rglob("*.png")), np.zeros((4, 4), np.int64))


def merge_segments(folder: Path) -> None:
    write_label_map(next((folder / "labels").rglob("*.png")), np.zeros((8, 8), np.int64))


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (
            remove_maps,
            (),
            "2 label maps of kmeans_rgbxy are missing, such as a; type the command again with labels=all",
        ),
        (change_truth, (), "b: its files have changed since kmeans_rgbxy was evaluated"),
        (rename_classes, (), "folder: its pictures or classes have changed since kmeans_rgbxy was evaluated"),
        (resize_map, (), "type the command again with labels=all"),
        (merge_segments, (), "type the command again with labels=all"),
        (None, ("protocol.frame=whole",), "show the frame square at 8 pixels; evaluate the row again for another"),
        (None, ("protocol.size=4",), "show the frame square at 8 pixels; evaluate the row again for another"),
        (None, ("dataset.limit=1",), "takes a results folder and protocol=...; leave out dataset.limit=1"),
        (None, ("older=true",), "takes a results folder and protocol=...; leave out older=true"),
        (None, ("+protocol=bogus",), "+protocol=bogus: leave out the +"),
        (None, ("protocols=regions",), "leave out protocols=regions"),
        (None, ("protocol=instances",), "protocol.report: instances needs objects, and dataset=folder has none"),
    ],
)
def test_what_cannot_be_rescored_is_one_line_and_nothing_is_written(
    run: Evaluate,
    spoil: Callable[[Path], None] | None,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    folder = run().folder
    if spoil:
        spoil(folder)
    before = content(folder)
    refused = command("--rescore", str(folder), *arguments)
    assert refused.status == 2
    (line,) = [line for line in refused.err.splitlines() if "rescoring" not in line]
    assert line.startswith("error: ")
    assert message in line
    assert content(folder) == before


def test_pixels_in_no_segment_are_rescored(tmp_path: Path) -> None:
    """DBSCAN's noise, for example: such pixels are in no table's column."""
    data = folder_overrides(tmp_path / "data", "ab", classes=3)
    (tmp_path / "maps").mkdir()
    for id in "ab":
        labels = np.arange(64, dtype=np.uint8).reshape(8, 8) // 20
        Image.fromarray(labels).save(tmp_path / "maps" / f"{id}.png")
    files = ("segmenter=files", f"segmenter.folder={tmp_path / 'maps'}", "segmenter.void=[1]")
    first = evaluate(tmp_path / "run", *data, *files)
    assert first.status == 0, first.err
    tables = {name: pd.read_csv(first.folder / name) for name in TABLES if name.endswith(".csv")}
    assert command("--rescore", str(first.folder)).status == 0
    for name, table in tables.items():
        pd.testing.assert_frame_equal(pd.read_csv(first.folder / name), table)
