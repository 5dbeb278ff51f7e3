"""The gallery of a report: photographs, ground truth and label maps, shrunk so that many fit on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.base import VOID, Dataset, DatasetError, Picture
from diffseg.backbones.image import centre_crop
from diffseg.pictures import boundaries, palette
from diffseg.texts import on_one_line
from eval.config import ConfigError, Scoring
from eval.label_maps import LabelMapError
from eval.metrics import PERCENT, accuracy, mean_iou
from eval.protocols import needs_classes
from eval.regions import conditional_entropies
from eval.runs import dataset_of
from eval.truth import class_map
from experiments.plotting.colours import class_colours, image_uri, paint
from experiments.plotting.shown import MOST_ROWS, ShownRow, by_dataset, protocols_of, ranked

TILE = 448
"""Longer side of an embedded picture in pixels."""
WEBP = "WEBP"  # a third smaller than JPEG and PNG, and every browser shows it
QUALITY = 80  # WebP quality of the photographs: 448 pixels take about 30 kB
MOST_COLUMNS = 4  # rows that the gallery compares when the page opens
SORTS = {
    "name": "name",
    "acc": "ACC",
    "miou": "mIoU",
    "segments": "segments",
    "voi": "VoI",
    "mixed": "VoI: mixed classes",
    "split": "VoI: split classes",
}


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
            dataset = dataset_of([row.row for row in kept])
        except (ConfigError, DatasetError, OSError) as error:
            reasons.append(on_one_line(error))
            continue
        for id in hardest(kept, most):
            try:
                pictures[place, id] = _gallery_picture(dataset, dataset.load(id), kept)
            except (DatasetError, LabelMapError, OSError) as error:
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


def _gallery_picture(dataset: Dataset, picture: Picture, rows: Sequence[ShownRow]) -> GalleryPicture:
    whole = rows[0].row.frame == "whole"
    cut = Image.fromarray(np.ascontiguousarray(picture.image if whole else centre_crop(picture.image)))
    scale = TILE / max(cut.size)
    size = max(1, round(scale * cut.width)), max(1, round(scale * cut.height))
    truth = class_map(picture, Scoring("whole", None) if whole else Scoring("square", TILE))
    colours = palette(len(dataset.classes)).tolist()
    shown = GalleryPicture(
        image_uri(cut.resize(size, Image.Resampling.LANCZOS), WEBP, quality=QUALITY),
        _layer(truth, size, len(dataset.classes)),
        size[0] / size[1],
        tuple((dataset.classes[label], "#" + bytes(colours[label]).hex()) for label in np.unique(truth[truth != VOID])),
    )
    for row in rows:
        labels = row.run.label_map(row.row, picture.id)
        record = next((record for record in row.row.evaluated if record.picture == picture.id), None)
        if labels is not None and record is not None:
            numbers = class_colours(labels, record.tables["classes"].numbered(), dataset.background)
            shown.labels[row.name] = _layer(numbers, size, len(dataset.classes))
    return shown


def _layer(numbers: NDArray[np.integer], size: tuple[int, int], classes: int) -> str:
    """A label map as a layer over the photograph: white lines between segments, void transparent."""
    resized = Image.fromarray(numbers.astype(np.int32), "I").resize(size, Image.Resampling.NEAREST)
    labels = np.asarray(resized).astype(np.int64)
    pixels = np.dstack([paint(labels, classes), np.where(labels == VOID, 0, 255).astype(np.uint8)])
    pixels[boundaries(labels)] = 255
    return image_uri(Image.fromarray(pixels), WEBP, lossless=True)


def gallery_data(rows: Sequence[ShownRow], pictures: Mapping[Place, GalleryPicture]) -> dict[str, Any]:
    """The drop-down of the gallery, and the data that the script reads: every picture with its scores, tiles if shown.

    Args:
        rows, pictures: see `read_gallery`.
    """
    entries: dict[Place, dict[str, Any]] = {}
    for number, row in enumerate(rows):
        place = row.row.dataset_name, row.row.frame
        scores = _picture_scores(row)
        for record in row.row.records:
            entry = entries.setdefault((place, record.picture), {"id": record.picture, "scores": [None] * len(rows)})
            entry["scores"][number] = scores[record.picture] if record.ok else f"failed: {record.reason}"
    number_of = {row.name: number for number, row in enumerate(rows)}
    for key, picture in pictures.items():
        entries[key] |= {**vars(picture), "labels": {number_of[name]: uri for name, uri in picture.labels.items()}}
    kept = sorted({number_of[name] for picture in pictures.values() for name in picture.labels}) or [*range(len(rows))]
    first = {rows[number].row.name: number for number in reversed(kept)}  # row of each method
    columns = sorted(first.values())[:MOST_COLUMNS] if len(first) > 1 else sorted({kept[0], kept[-1]})
    data = {
        "rows": [row.name for row in rows],
        "columns": columns,
        "chosen": ", those with the lowest mIoU, mean over the rows" if 0 < len(pictures) < len(entries) else "",
        "pictures": list(entries.values()),
    }
    return {"sorts": SORTS, "data": data}


def _picture_scores(row: ShownRow) -> dict[str, dict[str, Any]]:
    """Picture -> its scores: segments, halves of VoI in bits, and by protocol ACC and mIoU. None stands for NaN."""
    scores: dict[str, dict[str, Any]] = {}
    for record in row.row.evaluated:
        scores[record.picture] = {"segments": record.segments, "protocols": {}}
        if "classes" in record.stored_tables:
            split, mixed = map(float, conditional_entropies(record.tables["classes"].dense()))
            known = not np.isnan(mixed)
            scores[record.picture] |= {"mixed": mixed if known else None, "split": split if known else None}
    for protocol in filter(needs_classes, row.scores):
        for record, counts in zip(row.row.evaluated, row.row.counts(protocol), strict=True):
            both = [PERCENT * float(score(counts)) for score in (accuracy, mean_iou)]
            scores[record.picture]["protocols"][protocol] = [None if np.isnan(value) else value for value in both]
    return scores
