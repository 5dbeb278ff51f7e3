"""Panels: input, ground truth and every method's segmentation of one picture, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.base import DatasetError
from datasets.transforms import square
from diffseg.pictures import contact_sheet, overlay
from eval.matching import contingency, match_present
from eval.run import Method, label_path

COLUMNS = 3


def write_panels(folder: Path, methods: Sequence[tuple[Method, str]], panels: int) -> list[Path]:
    """Draws ``panels/ID.png`` for the first pictures, from the label maps that the run kept.

    A segment that is matched with a class of the picture (score `present`) has that class's colour, so that agreement
    shows; the others have colours that no class has.

    Args:
        folder: results folder, with the label maps under ``labels/``.
        methods: each with its key in the records.
        panels: number of pictures.

    Returns:
        Paths of the panels; a picture that could not be read has none.
    """
    dataset = methods[0][0].row.dataset
    written = []
    for image in dataset.ids[:panels]:
        try:
            sample = dataset.load(image)
        except DatasetError:
            continue  # recorded as failed, with its reason
        tiles: list[tuple[str, NDArray[np.uint8]]] = []
        for method, key in methods:
            path = label_path(folder / "labels", method, key, image)
            if not path.is_file():
                continue
            with Image.open(path) as file:
                labels = np.asarray(file).astype(np.int64)
            pixels, truth = square(sample, method.row.size)
            picture = pixels.permute(1, 2, 0).round().byte().numpy()
            if not tiles:
                tiles = [("Input", picture), ("Ground truth", overlay(picture, truth.numpy()))]
            coloured = _class_colours(labels, truth.numpy(), len(dataset.classes))
            tiles.append((_caption(method, methods), overlay(picture, coloured)))
        if tiles:
            written.append(folder / "panels" / f"{image}.png")
            written[-1].parent.mkdir(exist_ok=True)
            rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
            Image.fromarray(contact_sheet(rows)).save(written[-1])
    return written


def _caption(method: Method, methods: Sequence[tuple[Method, str]]) -> str:
    """Its name, with the size where a namesake runs at another."""
    namesakes = [other for other, _ in methods if other.row.name == method.row.name]
    return method.row.name if len(namesakes) == 1 else f"{method.row.name} {method.row.size}"


def _class_colours(labels: NDArray[np.int64], truth: NDArray[np.int16], classes: int) -> NDArray[np.int64]:
    """Renumbers segments ``(P, P)``: the class it is matched with, else a number from ``classes`` on."""
    table = contingency(labels, truth, classes)
    number = np.arange(classes, classes + labels.max() + 1)
    matched, segments = match_present(table)
    number[segments] = matched
    return number[labels]
