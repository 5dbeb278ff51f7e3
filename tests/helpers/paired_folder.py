"""Writes small folders in the layouts of PASCAL VOC, PASCAL Context and ADE20K."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.paired import PairedDataset

HEIGHT, WIDTH = 24, 32


def image_of(root: Path, dataset: type[PairedDataset], id: str) -> Path:
    return root / dataset.images / f"{id}.jpg"


def label_of(root: Path, dataset: type[PairedDataset], id: str) -> Path:
    return root / dataset.maps / f"{id}.png"


def write_label(path: Path, values: NDArray[np.uint8], palette: bool) -> None:
    """Writes a PNG whose pixels are the values: grey levels, or indices into a palette with other colours."""
    picture = Image.fromarray(values)
    if palette:
        picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def write_pair(
    root: Path,
    dataset: type[PairedDataset],
    id: str,
    seed: int = 0,
    shape: tuple[int, int] = (HEIGHT, WIDTH),
    palette: bool = False,
) -> NDArray[np.uint8]:
    """Writes a picture and a label map of values that the data set knows. Returns the values."""
    generator = np.random.default_rng(seed)
    values = generator.choice(np.array(sorted(dataset.table.label_of), np.uint8), shape)
    image_of(root, dataset, id).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(generator.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(image_of(root, dataset, id))
    write_label(label_of(root, dataset, id), values, palette)
    return values


def write_list(root: Path, dataset: type[PairedDataset], ids: Sequence[str]) -> None:
    """Writes the published list of pictures, if the data set has one."""
    if dataset.split_list is not None:
        path = root / dataset.split_list
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{id}\n" for id in ids))
