"""The gallery of a report: photographs, ground truth and label maps, shrunk so that many fit on a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.base import VOID, Dataset, DatasetError, Picture
from diffseg.backbones.image import centre_crop
from diffseg.pictures import boundaries, palette
from diffseg.texts import on_one_line
from eval.config import ConfigError, Scoring, build
from eval.metrics import mean_iou
from eval.protocols import needs_classes
from eval.truth import class_map
from experiments.plotting.colours import class_colours, paint
from experiments.plotting.data_uri import image_uri
from experiments.plotting.shown import MOST_ROWS, ShownRow, by_dataset, protocols_of, ranked

TILE = 448
"""Longer side of an embedded picture in pixels."""
WEBP = "WEBP"  # a third smaller than JPEG and PNG, and every browser shows it
QUALITY = 80  # WebP quality of the photographs: 448 pixels take about 30 kB


@dataclass(frozen=True)
class GalleryPicture:
    """A picture of the gallery with its label maps.

    Attributes:
        photo: the scored part of the picture, a data URI.
        truth: its ground truth, a data URI; pixels without a class are transparent.
        shape: width divided by height.
        classes: (name, ``#rrggbb``) of the classes in it.
        labels: name of a `ShownRow` -> data URI of its label map, in the colours of `class_colours`.
    """

    photo: str
    truth: str
    shape: float
    classes: tuple[tuple[str, str], ...]
    labels: dict[str, str] = field(default_factory=dict)


Place = tuple[tuple[str, str], str]
"""Data set and frame, and id of a picture."""


def read_gallery(rows: Sequence[ShownRow], most: int) -> tuple[dict[Place, GalleryPicture], list[str]]:
    """Reads the pictures with kept label maps that are hardest: those with the lowest mean of mIoU over the rows.

    Photographs and ground truth are not stored with the results; they are read from the data set that ``config.yaml``
    names. Of many rows, the best are shown.

    Args:
        rows: the rows.
        most: largest number of pictures of a data set.

    Returns:
        The pictures; reasons why pictures are missing, one line each.
    """
    pictures: dict[Place, GalleryPicture] = {}
    reasons: list[str] = []
    for place, group in by_dataset(rows).items():
        kept = [row for row in group if row.row.evaluated and any(map(needs_classes, row.scores))]
        if not kept:
            continue
        kept = ranked(kept)[:MOST_ROWS]
        try:
            dataset = _dataset_of(kept)
        except (ConfigError, DatasetError, OSError) as error:
            reasons.append(on_one_line(error))
            continue
        for id in hardest(kept, most):
            try:
                pictures[place, id] = _gallery_picture(dataset, dataset.load(id), kept)
            except (DatasetError, OSError) as error:
                reasons.append(on_one_line(error))
    if not pictures and not reasons:
        reasons.append("there are no label maps; the same command with labels=all keeps them")
    return pictures, list(dict.fromkeys(reasons))


def hardest(rows: Sequence[ShownRow], most: int) -> list[str]:
    """Ids of the pictures that have a label map in some row, by their mean mIoU over the rows, the lowest first."""
    protocol = protocols_of(rows)[-1]
    scores: dict[str, list[float]] = {}
    for row in rows:
        for record, counts in zip(row.row.evaluated, row.row.counts(protocol), strict=True):
            if row.run.label_path(row.row.key, record.picture).is_file():
                scores.setdefault(record.picture, []).append(mean_iou(counts))
    return sorted(scores, key=lambda id: float(np.mean(scores[id])))[:most]


def _dataset_of(rows: Sequence[ShownRow]) -> Dataset:
    """The data set of rows. Raises DatasetError if its pictures are no longer those that were evaluated."""
    dataset: Dataset = build(rows[0].row.dataset, "dataset")
    dataset.check()
    if {row.row.settings["dataset"]["fingerprint"] for row in rows} != {dataset.fingerprint}:
        raise DatasetError(
            f"{rows[0].run.folder}: the pictures of dataset {dataset.name} are no longer those that were evaluated"
        )
    return dataset


def _gallery_picture(dataset: Dataset, picture: Picture, rows: Sequence[ShownRow]) -> GalleryPicture:
    scoring = Scoring(**{"components": False, **rows[0].row.settings["scoring"]})
    whole = scoring.frame == "whole"
    cut = Image.fromarray(np.ascontiguousarray(picture.image if whole else centre_crop(picture.image)))
    size = _fit(cut.width, cut.height)
    truth = class_map(picture, Scoring("whole", None)) if whole else class_map(picture, Scoring("square", TILE))
    seen = np.unique(truth[truth != VOID])
    colours = palette(len(dataset.classes)).tolist()
    shown = GalleryPicture(
        image_uri(cut.resize(size, Image.Resampling.LANCZOS), WEBP, quality=QUALITY),
        _layer(truth, size, len(dataset.classes)),
        size[0] / size[1],
        tuple((dataset.classes[label], "#" + bytes(colours[label]).hex()) for label in seen),
    )
    for row in rows:
        labels = row.run.label_map(row.row, picture.id)
        record = next((record for record in row.row.evaluated if record.picture == picture.id), None)
        if labels is not None and record is not None:
            numbers = class_colours(labels, record.tables["classes"].numbered(), dataset.background)
            shown.labels[row.name] = _layer(numbers, size, len(dataset.classes))
    return shown


def _fit(width: int, height: int) -> tuple[int, int]:
    """Width and height of a tile with the shape of a picture."""
    longest = max(width, height)
    return max(1, round(TILE * width / longest)), max(1, round(TILE * height / longest))


def _layer(numbers: NDArray[np.integer], size: tuple[int, int], classes: int) -> str:
    """A label map as a layer over the photograph: white lines between segments, void transparent."""
    resized = Image.fromarray(numbers.astype(np.int32), "I").resize(size, Image.Resampling.NEAREST)
    labels = np.asarray(resized).astype(np.int64)
    pixels = np.dstack([paint(labels, classes), np.where(labels == VOID, 0, 255).astype(np.uint8)])
    pixels[boundaries(labels)] = 255
    return image_uri(Image.fromarray(pixels), WEBP, lossless=True)
