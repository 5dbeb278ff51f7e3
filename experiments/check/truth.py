"""Reads all pictures of a data set with their truth; reports sizes, formats, classes, void and damaged files."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

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


class PictureTruth(NamedTuple):
    """The truth of one picture. All counts are of the whole picture, before a protocol crops it.

    Attributes:
        size: (width, height) in pixels.
        formats: format of its picture file and of its label file; empty if the data set has no files.
        pixels: number of pixels of each class; empty if the data set has no classes.
        void: number of pixels without a class.
        people: number of people who segmented it.
        unscored, remarks: see `datasets.base.Picture`.
    """

    size: tuple[int, int]
    formats: tuple[str, str]
    pixels: Sequence[int]
    void: int
    people: int
    unscored: Mapping[int, int]
    remarks: Sequence[Remark]


@dataclass(frozen=True)
class Truth:
    """The truth of a data set.

    Attributes:
        dataset: the data set.
        readable: id -> truth of the picture.
        damaged: messages about the pictures that cannot be read.
    """

    dataset: Dataset
    readable: Mapping[str, PictureTruth]
    damaged: Sequence[str]

    @cached_property
    def rows(self) -> list[tuple[int, str, int, int, float]]:
        """Label, name, pictures, pixels and share of the scored pixels (0..1) of each class."""
        counts = np.array([picture.pixels for picture in self.readable.values() if picture.pixels], np.int64)
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
        truths = dict(zip(dataset.ids, bar, strict=True))
    readable = {id: truth for id, truth in truths.items() if isinstance(truth, PictureTruth)}
    return Truth(dataset, readable, [truth for truth in truths.values() if isinstance(truth, str)])


def _read(dataset: Dataset, id: str) -> PictureTruth | str:
    """The truth of a picture, or why it cannot be read."""
    try:
        picture = dataset.load(id)
    except DatasetError as error:
        return str(error)
    height, width = picture.image.shape[:2]
    formats, pixels, void = ("", ""), list[int](), 0
    if isinstance(dataset, ListedDataset):
        formats = format_of(dataset.image_path(id)), format_of(dataset.label_path(id))
    if picture.label is not None:
        pixels = np.bincount(picture.label[picture.label != VOID], minlength=len(dataset.classes)).tolist()
        void = int((picture.label == VOID).sum())
    people = len(picture.people)
    return PictureTruth((width, height), formats, pixels, void, people, picture.unscored, picture.remarks)


def report(truth: Truth) -> Iterator[str]:
    """Lines about a data set."""
    dataset, readable = truth.dataset, truth.readable.values()
    published = f" of the published {dataset.official_count:,}" if dataset.official_count else ""
    damaged = f"; {counted(len(truth.damaged), 'picture')} cannot be read" if truth.damaged else ""
    yield f"{dataset.name}: {counted(len(dataset.ids), 'picture')}{published}{damaged}"
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
    yield from remark_lines(dataset.name, {id: picture.remarks for id, picture in truth.readable.items()})


def _classes(truth: Truth) -> Iterator[str]:
    pixels = [row[3] for row in truth.rows]
    void = sum(picture.void for picture in truth.readable.values())
    yield f"  not scored: {void / max(1, void + sum(pixels)):.2%} of the pixels"
    width = max(len(name) for name in truth.dataset.classes)
    yield f"  {'class':{width + 4}} {'pictures':>9} {'pixels':>14} {'share':>7}"
    for label, name, pictures, count, share in truth.rows:
        yield f"  {label:3} {name:{width}} {pictures:9,} {count:14,} {share:7.2%}"
    yield from truth_remarks(truth.dataset, pixels, [picture.unscored for picture in truth.readable.values()])


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
