"""Panels: input, ground truth and every method's segmentation of one picture, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.base import Dataset, DatasetError
from diffseg.pictures import contact_sheet, fit, overlay, write_picture
from eval.files import writing
from eval.matching import contingency, match_contingency
from eval.metrics import accuracy
from eval.row_progress import label_path
from eval.rows import RowToRun
from eval.squares import square_image, square_label
from experiments.running.colours import class_colours

COLUMNS = 3
OVERVIEW = "overview"
OVERVIEW_TILE = 220  # pixels

Tiles = list[tuple[str, NDArray[np.uint8]]]


def write_panels(folder: Path, rows: Sequence[RowToRun], panels: int) -> list[Path]:
    """Draws ``panels/ID.png`` for the first pictures, and all of them on one sheet, ``panels/overview.png``.

    A segment that is matched with a class of the picture (score `present`) has that class's colour, so that agreement
    shows; the others have colours that no class has.

    Args:
        folder: results folder, with the label maps that the run kept under ``labels/``.
        rows: in the order of the tables.
        panels: number of pictures.

    Returns:
        Paths of what was drawn; a picture that could not be read is left out.
    """
    # Of namesakes that differ in no more than their seed, one is shown.
    rows = list({(row.name, row.config.size): row for row in reversed(rows)}.values())[::-1]
    ids = rows[0].config.dataset.ids[:panels]
    with ThreadPoolExecutor() as pool:  # resizing and compressing, most of the work, run side by side
        drawn = zip(ids, pool.map(lambda id: _tiles(folder, rows, id), ids), strict=True)
        tiles = {id: shown for id, shown in drawn if shown}
        if not tiles:
            return []
        (folder / "panels").mkdir(exist_ok=True)
        for stale in set((folder / "panels").rglob("*.png")) - {folder / "panels" / f"{name}.png" for name in tiles}:
            stale.unlink()  # of earlier settings
        return list(pool.map(lambda name: _draw(folder, name, tiles), [*tiles, OVERVIEW]))


def _draw(folder: Path, name: str, tiles: Mapping[str, Tiles]) -> Path:
    """Writes one picture's sheet, or the overview."""
    if name == OVERVIEW:
        sheet = contact_sheet(list(tiles.values()), OVERVIEW_TILE)
    else:
        line = tiles[name]
        sheet = contact_sheet([line[start : start + COLUMNS] for start in range(0, len(line), COLUMNS)])
    path = folder / "panels" / f"{name}.png"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)  # an id can be a path
        write_picture(path, sheet)
    return path


def _tiles(folder: Path, rows: Sequence[RowToRun], id: str) -> Tiles:
    """Input, ground truth and each method's segments over the input; empty where there is nothing to show."""
    dataset = rows[0].config.dataset
    tiles: Tiles = []
    for row in rows:
        path = label_path(folder / "labels", row.name, row.key, id)
        if not path.is_file():
            continue
        try:
            picture, truth, shown = _given(dataset, id, dataset.state(id), row.config.size)
        except (DatasetError, OSError):
            return []  # recorded as failed, with its reason
        if not tiles:
            tiles = [(id, shown[0]), ("ground truth", shown[1])]
        with Image.open(path) as file:
            labels = np.asarray(file).astype(np.int64)
        table = contingency(labels, truth, len(dataset.classes))
        caption = f"{_name(row, rows)}: ACC {accuracy(match_contingency(table, 'present', dataset.background)):.0%}"
        tiles.append((caption, fit(overlay(picture, class_colours(labels, table, dataset.background)))))
    return tiles


@lru_cache(maxsize=16)  # the jobs of a sweep show the same pictures: 3 MB each at 512 pixels
def _given(
    dataset: Dataset, id: str, state: str, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.int16], tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Picture ``(size, size, 3)``, labels ``(size, size)``, and the tiles of both; ``state``: of the files."""
    sample = dataset.load(id)
    pixels, truth = square_image(sample, size).numpy(), square_label(sample, size).numpy()
    picture = pixels.transpose(1, 2, 0).round().astype(np.uint8)
    return picture, truth, (fit(picture), fit(overlay(picture, truth)))


def _name(row: RowToRun, rows: Sequence[RowToRun]) -> str:
    """Name of a row, with its size if a namesake has another."""
    namesakes = [other for other in rows if other.name == row.name]
    return row.name if len(namesakes) == 1 else f"{row.name} {row.config.size}"
