"""Draws panels: picture, ground truth and segmentations side by side, with a legend of the classes.

A command has one panel per picture, and an overview of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.base import VOID, DatasetError, Picture
from diffseg.files.writing import distinct_names
from diffseg.pictures import (
    TILE_WIDTH,
    Pixels,
    caption_size,
    contact_sheet,
    fit,
    legend,
    overlay,
    palette,
    write_picture,
)
from eval.config import Scoring
from eval.label_maps import LabelMapError, read_label_map
from eval.matching import match_contingency
from eval.metrics import accuracy, mean_iou
from eval.records import SparseTable
from eval.results.names import telling_names
from eval.rows import RowConfig
from eval.runs import Run
from eval.storage.files import make_folder, writing
from eval.storage.layout import OVERVIEW, PANELS
from eval.truth import class_map, enter, scored_part
from experiments.paper.table import key_without_seed
from experiments.plotting.colours import GREYS, channels_last, class_colours, paint

PANEL_COLUMNS, SHEET_COLUMNS = 3, 5
OVERVIEW_TILE = SHEET_TILE = 220  # pixels
UNMATCHED, GREY = "hatched grey: no class", [sum(GREYS) // 2] * 3
FEW_ROWS = 8
"""Up to this number of rows, a panel has large tiles."""
MOST_ROWS = 12
"""Largest number of rows on a panel. They are evenly spread over the rows of the command."""


def write_panels(run: Run, configs: Sequence[RowConfig], panels: int) -> list[Path]:
    """Draws ``panels/ID.png`` for the first pictures of a command, and ``panels/overview.png`` with all of them.

    A panel shows up to `MOST_ROWS` rows. The panel of a picture with the id ``overview`` is ``panels/overview_2.png``.

    A segment that is matched with a class (protocol ``present``) has the colour of that class. The other segments are
    hatched in grey, as in the report.

    Args:
        run: the run with its label maps.
        configs: rows of the command, in the order of the tables.
        panels: number of pictures.

    Returns:
        Paths of the panels, and last of the overview; empty without pictures. Unreadable pictures are left out.
    """
    if not panels:
        return []
    drawn: list[Path] = []
    several = len({config.dataset.name for config in configs}) > 1
    for dataset in dict.fromkeys(config.dataset for config in configs):
        prefix = f"{dataset.name}/" if several else ""
        drawn += _write_panels(run, [config for config in configs if config.dataset == dataset], panels, prefix)
    return drawn


def _write_panels(run: Run, configs: Sequence[RowConfig], panels: int, prefix: str) -> list[Path]:
    """The panels of one data set."""
    rows = {row.key: row for row in run.rows}
    # Shows the first of the rows that differ only in their seed.
    distinct = {key_without_seed(rows[config.key]): config for config in reversed(configs)}
    shown = list(distinct.values())[::-1]
    shown = [shown[round(number)] for number in np.linspace(0, len(shown) - 1, min(len(shown), MOST_ROWS))]
    named = list(zip(telling_names([rows[config.key] for config in shown]), shown, strict=True))
    tile, columns = (TILE_WIDTH, PANEL_COLUMNS) if len(shown) <= FEW_ROWS else (SHEET_TILE, SHEET_COLUMNS)
    with ThreadPoolExecutor() as pool:  # resizing and compressing take most of the time, and run in parallel
        ids = configs[0].dataset.ids[:panels]
        read = zip(ids, pool.map(lambda id: _read(run, named, id, tile), ids), strict=True)
        drawn = {id: panel for id, panel in read if panel}
        if not drawn:
            return []
        everything = list(drawn.values())
        sheets = [(everything, len(everything[0].tiles), OVERVIEW_TILE)]  # the largest first
        sheets += [([panel], columns, tile) for panel in everything]
        paths = [run.folder / PANELS / f"{prefix}{name}.png" for name in distinct_names([OVERVIEW, *drawn])]
        list(pool.map(lambda path, sheet: _write(path, *sheet), paths, sheets))
    return [*paths[1:], paths[0]]


@dataclass(frozen=True)
class _Panel:
    """Content of the panel of a picture.

    Attributes:
        tiles: captions and images of picture, ground truth (classes, or one person's regions) and segmentations.
        legend: label -> name and colour of each class in the ground truth.
        unmatched: whether a segment has no class.
    """

    tiles: list[tuple[str, Pixels]]
    legend: dict[int, tuple[str, list[int]]]
    unmatched: bool


def _read(run: Run, named: Sequence[tuple[str, RowConfig]], id: str, tile_width: int) -> _Panel | None:
    """The panel of a picture; None if it has no label map or cannot be read."""
    kept = [(name, row, path) for name, row in named if (path := run.label_path(row.key, id)).is_file()]
    if not kept:
        return None
    dataset = kept[0][1].dataset
    try:
        picture = dataset.load(id)
        views = {row.scoring: _view(picture, row.scoring) for _, row, _ in kept}
        maps = [read_label_map(path) for _, _, path in kept]
    except (DatasetError, LabelMapError, OSError):
        return None  # the records have the reason
    pixels, truth = views[kept[0][1].scoring]
    classes = dataset.classes
    tiles = [(id, fit(pixels, tile_width))]
    if truth is not None:
        name = "ground truth" if classes else f"person 1 of {len(picture.people)}"
        tiles.append((name, fit(overlay(pixels, truth), tile_width)))
    unmatched = False
    for (name, row, _), labels in zip(kept, maps, strict=True):
        pixels, truth = views[row.scoring]
        caption, numbers, colours = name, labels, None
        if classes and truth is not None and labels.shape == truth.shape and row.scoring.frame in ("square", "whole"):
            table = SparseTable.count(labels, truth, len(classes)).numbered()
            counts = match_contingency(table, "present", dataset.background)
            numbers = class_colours(labels, table, dataset.background)
            colours = paint(numbers, len(classes))
            unmatched |= bool((numbers >= len(classes)).any())
            caption = f"{name}: ACC {accuracy(counts):.0%}, mIoU {mean_iou(counts):.0%}"
        tiles.append((caption, fit(overlay(pixels, numbers, colours=colours), tile_width)))
    of_class = palette(len(classes)).tolist()
    seen = np.unique(truth[truth != VOID]).tolist() if classes and truth is not None else []
    return _Panel(tiles, {label: (classes[label], of_class[label]) for label in seen}, unmatched)


def _view(picture: Picture, scoring: Scoring) -> tuple[Pixels, NDArray[np.integer] | None]:
    """The scored pixels of a picture, ``(h, w, 3)``, and its classes, or the regions of its first person."""
    if scoring.frame == "whole":
        pixels = picture.image
    else:
        assert scoring.size is not None
        pixels = channels_last(enter(picture, scoring.enters, scoring.size).numpy())
    if picture.label is not None:
        return pixels, class_map(picture, scoring)
    return pixels, scored_part(picture.people[0], scoring) if picture.people else None


def _write(path: Path, panels: Sequence[_Panel], columns: int, tile_width: int) -> None:
    """Writes an image with the tiles of panels, up to ``columns`` per line, above a common legend."""
    lines = [panel.tiles[start : start + columns] for panel in panels for start in range(0, len(panel.tiles), columns)]
    sheet = contact_sheet(lines, tile_width)
    entries = {label: entry for panel in panels for label, entry in panel.legend.items()}
    names = [entries[label] for label in sorted(entries)]
    if any(panel.unmatched for panel in panels):
        names.append((UNMATCHED, GREY))
    make_folder(path.parent)
    with writing(path):
        write_picture(path, np.vstack([sheet, legend(names, sheet.shape[1], caption_size(tile_width))]))
