"""Reads all pictures of a data set with their truth; reports sizes, formats, classes, void and damaged files."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.base import VOID, Dataset, DatasetError
from datasets.files import format_of
from datasets.listing import ListedDataset
from datasets.remarks import truth_remarks
from diffseg.files.remarks import Remark, remark_lines
from diffseg.files.writing import write_text
from diffseg.texts import counted

WORKERS = 4
SHOWN = 5
"""Up to this number, sizes, formats and damaged files are listed; more are counted."""
COLUMNS = ("label", "class", "pictures", "pixels", "share")


@dataclass(frozen=True)
class PictureTruth:
    """The truth of one picture. All counts are of the whole picture, before a protocol crops it.

    Attributes:
        error: why it cannot be read; None: it can.
        size: (width, height) in pixels.
        formats: format of its picture file and of its label file.
        pixels: number of pixels of each class; empty if the data set has no classes.
        void: number of pixels without a class.
        people: number of people who segmented it.
        unscored: see `datasets.base.Picture`.
    """

    error: str | None = None
    size: tuple[int, int] = (0, 0)
    formats: tuple[str, str] = ("", "")
    pixels: Sequence[int] = ()
    void: int = 0
    people: int = 0
    unscored: Mapping[int, int] = field(default_factory=dict)
    remarks: Sequence[Remark] = ()


@dataclass(frozen=True)
class Truth:
    """The truth of a data set: `PictureTruth` of each id."""

    dataset: Dataset
    pictures: Mapping[str, PictureTruth]

    @property
    def readable(self) -> list[PictureTruth]:
        return [picture for picture in self.pictures.values() if picture.error is None]

    @property
    def damaged(self) -> list[str]:
        """Messages about the pictures that cannot be read."""
        return [picture.error for picture in self.pictures.values() if picture.error is not None]

    @property
    def rows(self) -> list[tuple[int, str, int, int, float]]:
        """Label, name, pictures, pixels and share of the scored pixels (0..1) of each class."""
        counts = np.array([picture.pixels for picture in self.readable if picture.pixels], np.int64)
        if not counts.size:
            return []
        pixels, pictures = counts.sum(axis=0).tolist(), (counts > 0).sum(axis=0).tolist()
        return [
            (label, name, pictures[label], pixels[label], pixels[label] / max(1, sum(pixels)))
            for label, name in enumerate(self.dataset.classes)
        ]


def read_truth(dataset: Dataset) -> Truth:
    """Reads every picture of a data set. Raises DatasetError if the data are missing."""
    with ThreadPoolExecutor(WORKERS) as pool:
        readings = pool.map(lambda id: _read(dataset, id), dataset.ids)
        bar = tqdm(readings, total=len(dataset.ids), desc="read", unit="picture", disable=None, leave=False)
        return Truth(dataset, dict(zip(dataset.ids, bar, strict=True)))


def _read(dataset: Dataset, id: str) -> PictureTruth:
    try:
        picture = dataset.load(id)
    except DatasetError as error:
        return PictureTruth(error=str(error))
    height, width = picture.image.shape[:2]
    formats = (
        (format_of(dataset.image_path(id)), format_of(dataset.label_path(id)))
        if isinstance(dataset, ListedDataset)
        else ("", "")
    )
    label = np.empty(0, np.int16) if picture.label is None else picture.label
    counts = np.bincount(label[label != VOID], minlength=len(dataset.classes))
    return PictureTruth(
        None,
        (width, height),
        formats,
        () if picture.label is None else counts.tolist(),
        int((label == VOID).sum()),
        len(picture.people),
        picture.unscored,
        picture.remarks,
    )


def report(truth: Truth) -> Iterator[str]:
    """Lines about a data set."""
    dataset, readable = truth.dataset, truth.readable
    published = f" of the published {dataset.official_count:,}" if dataset.official_count else ""
    damaged = f"; {counted(len(truth.damaged), 'picture')} cannot be read" if truth.damaged else ""
    yield f"{dataset.name}: {counted(len(truth.pictures), 'picture')}{published}{damaged}"
    yield from (f"  {message}" for message in truth.damaged[:SHOWN])
    if len(truth.damaged) > SHOWN:
        yield f"  and {len(truth.damaged) - SHOWN:,} more"
    yield f"  sizes: {_most_common(f'{width} x {height}' for width, height in (picture.size for picture in readable))}"
    for what, position in (("pictures", 0), ("label files", 1)):
        yield f"  {what}: {_most_common(picture.formats[position] for picture in readable)}"
    if people := [picture.people for picture in readable if picture.people]:
        yield f"  people: {min(people)} to {max(people)} segmentations a picture"
    if truth.rows:
        yield from _classes(truth)
    remarks = {id: picture.remarks for id, picture in truth.pictures.items() if picture.error is None}
    yield from remark_lines(dataset.name, remarks)


def _classes(truth: Truth) -> Iterator[str]:
    pixels = [row[3] for row in truth.rows]
    void = sum(picture.void for picture in truth.readable)
    yield f"  not scored: {void / max(1, void + sum(pixels)):.2%} of the pixels"
    width = max(len(name) for name in truth.dataset.classes)
    yield f"  {'class':{width + 4}} {'pictures':>9} {'pixels':>14} {'share':>7}"
    for label, name, pictures, count, share in truth.rows:
        yield f"  {label:3} {name:{width}} {pictures:9,} {count:14,} {share:7.2%}"
    yield from truth_remarks(truth.dataset, pixels, [picture.unscored for picture in truth.readable])


def _most_common(values: Iterator[str]) -> str:
    counts = Counter(values)
    shown = ", ".join(f"{value} ({count:,})" for value, count in counts.most_common(SHOWN))
    return shown + (f" and {len(counts) - SHOWN:,} others" if len(counts) > SHOWN else "") or "none"


def write_csv(truth: Truth, path: Path) -> None:
    """Writes the table of the classes: `COLUMNS`, with the share of the scored pixels in percent."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((*row[:-1], f"{100 * row[-1]:.4f}") for row in truth.rows)
    write_text(path, text.getvalue())
