"""The gallery of a report: photographs, ground truth and label maps, shrunk so that many fit on a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from eval.results.reading import Results
from eval.results.run_config import read_config
from eval.squares import resize_label, square_label
from numpy.typing import NDArray
from PIL import Image

from datasets.base import VOID, Dataset, DatasetError, Picture
from diffseg.backbones.image import centre_crop
from diffseg.palette import palette
from diffseg.pictures import boundaries, colourise
from diffseg.texts import on_one_line
from eval.config import ConfigError, build
from eval.matching import contingency
from eval.results.names import telling_names
from eval.storage.layout import label_path, records_folder
from experiments.plotting.colours import class_colours
from experiments.plotting.data_uri import image_uri

TILE = 448
"""Side of an embedded picture in pixels. The gallery shows it at half this side or less, the enlarged view at more."""
WEBP = "WEBP"  # a third smaller than JPEG and PNG, and every browser shows it
QUALITY = 80  # WebP quality of the photographs: 448 pixels take about 30 kB


@dataclass(frozen=True)
class GalleryPicture:
    """A picture of the gallery with its label maps.

    Attributes:
        dataset, label_source, image: its names in the tables.
        photo: the centred square, a data URI.
        truth: the ground truth of the square, a data URI; pixels without a class are transparent.
        classes: (name, ``#rrggbb``) of the classes in the square.
        labels: setting of `Results` -> data URI of its label map, in the colours of `class_colours`.
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
    """The label maps of a row: its name in `Results`, the key in its file names, and the side at which it is scored."""

    setting: str
    folder: Path
    key: str
    size: int

    def path(self, image: str) -> Path:
        return label_path(records_folder(self.folder), self.key, image)


def read_gallery(results: Results) -> tuple[list[GalleryPicture], list[str]]:
    """Reads the pictures whose label maps were kept.

    Photographs and ground truth are not stored with the results. They are read from the data set that the
    ``config.yaml`` of each run names.

    Returns:
        Pictures in the order of their data set; reasons why pictures are missing, one line each.
    """
    data: dict[str, tuple[Dataset, list[_KeptLabels]]] = {}  # by fingerprint, which does not depend on the limit
    reasons: list[str] = []
    for job, folder in results.folders.items():
        lines = results.summary[results.summary["job"] == job]
        try:
            dataset, kept = _read_job(folder, dict(zip(lines["setting"], lines["row"], strict=True)))
        except (ConfigError, DatasetError, OSError) as error:
            reasons.append(on_one_line(error))
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


def _read_job(folder: Path, names: Mapping[str, str]) -> tuple[Dataset, list[_KeptLabels]]:
    """The data set of a run or job, and the label maps of its rows.

    Args:
        folder: folder of the run or job.
        names: setting -> ``row``, both of `Results.summary`. A row that several jobs share is in the summary, and so
            here, only in the first of these jobs.
    """
    config, rows = read_config(folder)
    dataset: Dataset = build(config.dataset, "dataset")
    dataset.check()
    if {row.settings["dataset"]["fingerprint"] for row in rows} != {dataset.fingerprint}:
        raise DatasetError(f"{folder}: the pictures of dataset {dataset.name} are no longer those that were evaluated")
    named = dict(zip(telling_names(rows), rows, strict=True))
    if missing := [name for name in names.values() if name not in named]:
        raise DatasetError(f"{folder}: config.yaml lacks the row {missing[0]} of summary.csv; run it again")
    return dataset, [
        _KeptLabels(setting, folder, named[name].key, named[name].settings["scoring"]["size"])
        for setting, name in names.items()
    ]


def _gallery_picture(dataset: Dataset, picture: Picture, kept: list[_KeptLabels]) -> GalleryPicture:
    square = Image.fromarray(np.ascontiguousarray(centre_crop(picture.image)))
    labels = np.unique(centre_crop(picture.label))
    colours = palette(len(dataset.classes)).tolist()
    return GalleryPicture(
        dataset.name,
        dataset.label_source,
        picture.id,
        image_uri(square.resize((TILE, TILE), Image.Resampling.LANCZOS), WEBP, quality=QUALITY),
        _paint(square_label(picture, TILE).numpy()),
        tuple((dataset.classes[label], "#" + bytes(colours[label]).hex()) for label in labels[labels != VOID]),
        {row.setting: _paint(segments) for row, segments in _segments(dataset, picture, kept)},
    )


def _segments(
    dataset: Dataset, picture: Picture, kept: list[_KeptLabels]
) -> Iterator[tuple[_KeptLabels, NDArray[np.int64]]]:
    """The label map of a picture for each row, recoloured by `class_colours`."""
    truths = {size: square_label(picture, size).numpy() for size in {row.size for row in kept}}
    for row in kept:
        with Image.open(row.path(picture.id)) as file:
            labels = np.asarray(file).astype(np.int64)
        table = contingency(labels, truths[row.size], len(dataset.classes))
        yield row, class_colours(labels, table, dataset.background)


def _paint(labels: NDArray[np.integer]) -> str:
    """A label map ``(P, P)`` as a layer over the photograph: white lines between segments, void transparent."""
    # Numbers of segments can exceed int16; positions among those present do not.
    numbers, positions = np.unique(labels, return_inverse=True)
    labels = numbers[resize_label(positions.reshape(labels.shape).astype(np.int16), TILE).numpy()]
    pixels = np.dstack([colourise(labels), np.where(labels == VOID, 0, 255).astype(np.uint8)])
    pixels[boundaries(labels)] = 255
    return image_uri(Image.fromarray(pixels), WEBP, lossless=True)
