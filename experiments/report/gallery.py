"""The pictures of a report: photograph, ground truth and kept label maps, small enough for many to fit on a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.base import VOID, Dataset, DatasetError, Sample
from diffseg.backbones.image import centre_crop
from diffseg.palette import palette
from diffseg.pictures import boundaries, colourise
from eval.config import ConfigError, build
from eval.matching import contingency
from eval.results import Results, home_of
from eval.row_progress import label_path
from eval.run_results import LABELS, read_config
from eval.squares import resize_label, square_label
from experiments.running.colours import class_colours

TILE = 448
"""Side in pixels of an embedded picture: sharp on a page that shows it at up to half of that, usable enlarged."""
QUALITY = 80  # of the photographs' WebP, at which 448 pixels take about 30 kB


@dataclass(frozen=True)
class GalleryPicture:
    """One picture of the gallery, ready for a page.

    Attributes:
        dataset, label_source, image: which one, as the tables name it.
        photo: the centred square, a data URI.
        truth: its classes, a data URI; transparent where there is none.
        classes: (name, ``#rrggbb``) of those in the square.
        labels: setting of `Results` -> data URI of its segments, in the colours of `class_colours`.
    """

    dataset: str
    label_source: str
    image: str
    photo: str
    truth: str
    classes: tuple[tuple[str, str], ...]
    labels: dict[str, str]


@dataclass(frozen=True)
class _KeptLabels:
    """The label maps that one row of a run kept: how `Results` and the files name it, and the side it is scored at."""

    setting: str
    folder: Path
    key: str
    size: int

    def path(self, image: str) -> Path:
        return label_path(home_of(self.folder) / LABELS, self.key, image)


def read_gallery(results: Results) -> tuple[list[GalleryPicture], list[str]]:
    """Reads the pictures whose label maps were kept, and says why others cannot be shown.

    The data set of each run is built anew from its ``config.yaml``: photographs and ground truth are no results.

    Returns:
        Pictures in the order of their data set; one line for each reason why some or all are missing.
    """
    data: dict[str, tuple[Dataset, list[_KeptLabels]]] = {}  # by fingerprint: the same pictures, whatever the limit
    reasons: list[str] = []
    for job, folder in results.folders.items():
        settings = results.summary.loc[results.summary["job"] == job, "setting"].unique()
        try:
            dataset, kept = _read_job(folder, list(settings))
        except (ConfigError, DatasetError, OSError) as error:
            reasons.append(" ".join(str(error).split()))
        else:
            data.setdefault(dataset.fingerprint, (dataset, []))[1].extend(kept)
    shown = []
    for dataset, kept in data.values():
        for image in dataset.listed:
            here = [row for row in kept if row.path(image).is_file()]
            try:
                shown += [_gallery_picture(dataset, dataset.load(image), here)] if here else []
            except DatasetError as error:
                reasons.append(str(error))
    if not shown and not reasons:
        reasons.append("there are no label maps; the same command with panels=N keeps those of the first N pictures")
    return shown, list(dict.fromkeys(reasons))


def _read_job(folder: Path, settings: list[str]) -> tuple[Dataset, list[_KeptLabels]]:
    """The data set of a run, and what it kept of each of its rows, ``settings`` in the order of the tables."""
    config, rows = read_config(folder)
    dataset: Dataset = build(config.dataset, "dataset")
    dataset.check()
    # If a run has a row twice, the tables of `Results` have it once.
    kept = {(row.name, row.key): row for row in rows}
    if {row.settings["dataset"]["fingerprint"] for row in rows} != {dataset.fingerprint}:
        raise DatasetError(f"{folder}: the pictures of dataset {dataset.name} are no longer those that were evaluated")
    if len(kept) != len(settings):
        raise DatasetError(f"{folder}: config.yaml lists {len(kept)} rows, summary.csv {len(settings)}; run it again")
    return dataset, [
        _KeptLabels(setting, folder, row.key, row.settings["scoring"]["size"])
        for setting, row in zip(settings, kept.values(), strict=True)
    ]


def _gallery_picture(dataset: Dataset, sample: Sample, kept: list[_KeptLabels]) -> GalleryPicture:
    square = Image.fromarray(np.ascontiguousarray(centre_crop(sample.image)))
    labels = np.unique(centre_crop(sample.label))
    colours = palette(len(dataset.classes)).tolist()
    return GalleryPicture(
        dataset.name,
        dataset.label_source,
        sample.id,
        _data_uri(square.resize((TILE, TILE), Image.Resampling.LANCZOS), quality=QUALITY),
        _paint(square_label(sample, TILE).numpy()),
        tuple((dataset.classes[label], "#" + bytes(colours[label]).hex()) for label in labels[labels != VOID]),
        {row.setting: _paint(segments) for row, segments in _segments(dataset, sample, kept)},
    )


def _segments(
    dataset: Dataset, sample: Sample, kept: list[_KeptLabels]
) -> Iterator[tuple[_KeptLabels, NDArray[np.int64]]]:
    """Each row's segments of a picture, numbered by `class_colours`."""
    truths = {size: square_label(sample, size).numpy() for size in {row.size for row in kept}}
    for row in kept:
        with Image.open(row.path(sample.id)) as file:
            labels = np.asarray(file).astype(np.int64)
        table = contingency(labels, truths[row.size], len(dataset.classes))
        yield row, class_colours(labels, table, dataset.background)


def _paint(labels: NDArray[np.integer]) -> str:
    """A label map ``(P, P)`` as a layer to lie over the photograph: white lines between segments, void transparent."""
    labels = resize_label(labels.astype(np.int16), TILE).numpy()
    pixels = np.dstack([colourise(labels), np.where(labels == VOID, 0, 255).astype(np.uint8)])
    pixels[boundaries(labels)] = 255
    return _data_uri(Image.fromarray(pixels), lossless=True)


def _data_uri(image: Image.Image, **options: Any) -> str:
    """WebP: a third smaller than JPEG and PNG, and every browser shows it."""
    file = io.BytesIO()
    image.save(file, format="WEBP", **options)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
