"""Draws panels: picture, ground truth and segmentations side by side, with a legend of the classes.

A run has one panel per picture and an overview. A sweep has one sheet per picture, with its points side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.base import VOID, DatasetError, Picture
from diffseg.files import distinct_names
from diffseg.legend import legend
from diffseg.palette import palette
from diffseg.pictures import TILE_WIDTH, Pixels, caption_size, contact_sheet, fit, overlay, write_picture
from eval.matching import contingency, match_contingency
from eval.metrics import accuracy
from eval.results.names import telling_names
from eval.rows import Row
from eval.squares import square_image, square_label
from eval.storage.files import make_folder, writing
from eval.storage.layout import OVERVIEW, PANELS, label_path
from eval.storage.written import WrittenFiles
from experiments.paper.seeds import key_without_seed
from experiments.plotting.colours import channels_last, class_colours

PANEL_COLUMNS, SHEET_COLUMNS = 3, 5
OVERVIEW_TILE = SHEET_TILE = 220  # pixels
UNMATCHED, WHITE = "other colours: no class", [255, 255, 255]
MAX_POINTS = 12
"""Largest number of points on a sheet. They are evenly spread over the points of the sweep."""


def write_panels(folder: Path, rows: Sequence[Row], panels: int) -> list[Path]:
    """Draws ``panels/ID.png`` for the first pictures of a run, and ``panels/overview.png`` with all of them.

    The panel of a picture with the id ``overview`` is ``panels/overview_2.png``.

    A segment that is matched with a class (protocol ``present``) has the colour of that class. The other segments have
    colours of no class.

    Args:
        folder: results folder with the label maps.
        rows: the rows, in the order of the tables.
        panels: number of pictures.

    Returns:
        Paths of the panels, and last of the overview; empty without pictures. Unreadable pictures are left out.
    """
    # Shows the first of the rows that differ only in their seed.
    rows = list({key_without_seed(row): row for row in reversed(rows)}.values())[::-1]
    named = list(zip(telling_names(rows), rows, strict=True))
    with ThreadPoolExecutor() as pool:  # resizing and compressing take most of the time, and run in parallel
        shown = _read_all(pool, folder, named, rows[0].config.dataset.ids[:panels], TILE_WIDTH)
        names = distinct_names([OVERVIEW, *shown])
        _list_files(folder, names if shown else [])
        if not shown:
            return []
        everything = list(shown.values())
        overview = (everything, len(everything[0].tiles), OVERVIEW_TILE)
        sheets = [overview, *(([panel], PANEL_COLUMNS, TILE_WIDTH) for panel in everything)]  # the largest first
        first, *others = pool.map(lambda name, sheet: _write(folder, name, _sheet(*sheet)), names, sheets)
    return [*others, first]


def write_sheets(folder: Path, points: Sequence[tuple[str, Row]], panels: int) -> tuple[list[Path], list[str], int]:
    """Draws ``panels/ID.png`` for the first pictures of a sweep, with up to `MAX_POINTS` of its points side by side.

    Args:
        folder: folder of the sweep with the label maps.
        points: name of a job's point, and a row of the job; in order. A row that several jobs share is one point.
        panels: number of pictures.

    Returns:
        Paths of the sheets, the points shown, and the number of different points.
    """
    of_key: dict[str, list[tuple[str, Row]]] = {}
    for point, row in points:
        of_key.setdefault(row.key, []).append((point, row))
    several = len({row.name for _, row in points}) > 1
    distinct = [
        (row.name if len(jobs) > 1 else f"{row.name}, {point}" if several else point, row)
        for jobs in of_key.values()
        for point, row in jobs[:1]
    ]
    named = [distinct[number] for number in _spread(len(distinct), MAX_POINTS)]
    ids = max((row.config.dataset.ids[:panels] for _, row in named), key=len)
    with ThreadPoolExecutor() as pool:
        shown = _read_all(pool, folder, named, ids, SHEET_TILE)
        _list_files(folder, shown)
        paths = list(pool.map(lambda id: _write(folder, id, _sheet([shown[id]], SHEET_COLUMNS, SHEET_TILE)), shown))
    return paths, [name for name, _ in named], len(distinct)


def _spread(count: int, most: int) -> list[int]:
    """Up to ``most`` of the numbers 0..count-1, evenly spread, including the first and the last."""
    return sorted({round(number) for number in np.linspace(0, count - 1, min(count, most))})


@dataclass(frozen=True)
class _Panel:
    """Content of the panel of a picture.

    Attributes:
        tiles: captions and images of picture, ground truth and segmentations.
        legend: label -> name and colour of each class in the ground truth.
        unmatched: whether a segment has no class, and so a colour that no class has.
    """

    tiles: list[tuple[str, Pixels]]
    legend: dict[int, tuple[str, list[int]]]
    unmatched: bool


def _read_all(
    pool: ThreadPoolExecutor, folder: Path, named: Sequence[tuple[str, Row]], ids: Sequence[str], tile_width: int
) -> dict[str, _Panel]:
    """Picture -> its panel. Leaves out unreadable pictures and pictures without a label map."""
    panels = pool.map(lambda id: _read(folder, named, id, tile_width), ids)
    return {id: panel for id, panel in zip(ids, panels, strict=True) if panel}


def _read(folder: Path, named: Sequence[tuple[str, Row]], id: str, tile_width: int) -> _Panel | None:
    """The panel of a picture; None if it has no label map or cannot be read."""
    kept = [(name, row, path) for name, row in named if (path := label_path(folder, row.key, id)).is_file()]
    if not kept:
        return None
    dataset = named[0][1].config.dataset
    try:
        picture = dataset.load(id)
        squares = {size: _square(picture, size) for size in {row.config.size for _, row, _ in kept}}
    except (DatasetError, OSError):
        return None  # the records have the reason
    pixels, truth = squares[kept[0][1].config.size]
    tiles = [(id, fit(pixels, tile_width)), ("ground truth", fit(overlay(pixels, truth), tile_width))]
    unmatched = False
    for name, row, path in kept:
        pixels, truth = squares[row.config.size]
        with Image.open(path) as file:
            labels = np.asarray(file).astype(np.int64)
        table = contingency(labels, truth, len(dataset.classes))
        acc = accuracy(match_contingency(table, "present", dataset.background))
        numbers = class_colours(labels, table, dataset.background)
        unmatched |= bool((numbers >= len(dataset.classes)).any())
        tiles.append((f"{name}: ACC {acc:.0%}", fit(overlay(pixels, numbers), tile_width)))
    colours = palette(len(dataset.classes)).tolist()
    seen = np.unique(truth[truth != VOID]).tolist()
    return _Panel(tiles, {label: (dataset.classes[label], colours[label]) for label in seen}, unmatched)


def _square(picture: Picture, size: int) -> tuple[Pixels, NDArray[np.int16]]:
    """Pixels ``(size, size, 3)`` and labels ``(size, size)`` of the centred square."""
    return channels_last(square_image(picture, size).numpy()), square_label(picture, size).numpy()


def _sheet(panels: Sequence[_Panel], columns: int, tile_width: int) -> Pixels:
    """An image with the tiles of panels, up to ``columns`` per line, above a common legend."""
    lines = [panel.tiles[start : start + columns] for panel in panels for start in range(0, len(panel.tiles), columns)]
    sheet = contact_sheet(lines, tile_width)
    entries = {label: entry for panel in panels for label, entry in panel.legend.items()}
    names = [entries[label] for label in sorted(entries)]
    if any(panel.unmatched for panel in panels):
        names.append((UNMATCHED, WHITE))
    return np.vstack([sheet, legend(names, sheet.shape[1], caption_size(tile_width))])


def _file(name: str) -> str:
    """Path of a panel, relative to the results folder. The id of a picture can contain ``/``."""
    return f"{PANELS}/{name}.png"


def _list_files(folder: Path, names: Iterable[str]) -> None:
    """Deletes the panels of earlier settings, and adds the new ones to the list of written files."""
    written, files = WrittenFiles(folder), [_file(name) for name in names]
    written.delete([name for name in written.names if name.startswith(f"{PANELS}/")], keep=files)
    written.add(files)


def _write(folder: Path, name: str, sheet: Pixels) -> Path:
    path = folder / _file(name)
    make_folder(path.parent)
    with writing(path):
        write_picture(path, sheet)
    return path
