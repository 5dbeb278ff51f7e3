"""Cuts and resizes pictures and their ground truth to the pixels at which rows are scored, and compares segments.

A truth is one or several label maps: ``classes``, or ``person 1``, ``person 2``, ..., or ``instances`` and
``instance_classes``. Every score is computed from the contingency tables of these maps. Imports no torch until a
picture enters a backbone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from datasets.base import VOID, Dataset, DatasetError, Picture
from diffseg.backbones.image import centre_crop, nearest, resize_image
from diffseg.texts import on_one_line
from eval.config import FrameName, Scoring
from eval.label_maps import LabelMapError, read_label_map
from eval.records import PERSON, SparseTable

if TYPE_CHECKING:
    from torch import Tensor

    from eval.regions import Overlay

Labels = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Truth:
    """The ground truth of a picture at the pixels of one `Scoring`.

    Attributes:
        size: height and width.
        maps: name -> label map ``(height, width)``, region of each pixel from 0; negative: void.
        regions: name -> number of regions.
        boundaries: for each person, ``(height, width)`` bool.
    """

    size: tuple[int, int]
    maps: Mapping[str, Labels]
    regions: Mapping[str, int]
    boundaries: Sequence[NDArray[np.bool_]] = field(default=())

    @cached_property
    def people(self) -> Overlay | None:
        """The regions of all people, laid over each other; None if there is no person."""
        from eval.regions import Overlay

        cuts = [labels for name, labels in self.maps.items() if name.startswith(PERSON)]
        return Overlay.of(cuts) if cuts else None

    @property
    def names(self) -> set[str]:
        """Names of the tables and counts that `compare` gives."""
        return {*self.maps, *(["boundaries"] if self.boundaries else [])}


def enter(picture: Picture, frame: FrameName, size: int) -> Tensor:
    """The input of a backbone: the centred square or the whole picture, ``(3, size, size)`` float32 in [0, 255]."""
    return resize_image(picture.image if frame == "whole" else centre_crop(picture.image), size)


def truth_of(picture: Picture, scoring: Scoring, kinds: AbstractSet[str], dataset: Dataset) -> Truth:
    """The truth of a picture.

    Args:
        picture: the picture, uncropped.
        scoring: the pixels.
        kinds: ``classes``, ``people``, ``boundaries``, ``instances``.
        dataset: its data set.

    Raises:
        DatasetError: there is no labelled pixel, or the data set cannot give the truth.
    """
    maps: dict[str, Labels] = {}
    regions: dict[str, int] = {}
    boundaries: list[NDArray[np.bool_]] = []
    if "classes" in kinds:
        maps["classes"], regions["classes"] = class_map(picture, scoring), len(dataset.classes)
    if kinds & {"people", "boundaries"}:
        from eval.boundaries import boundary_map
        from eval.regions import connected_regions

        # Of a picture with classes, the connected parts of its class map are the regions, void left out.
        people = [scored_part(cut, scoring) for cut in picture.people]
        for person, cut in enumerate(people or [connected_regions(class_map(picture, scoring))]):
            if "people" in kinds:
                name = f"{PERSON}{person + 1}"
                maps[name], regions[name] = cut, int(cut.max(initial=-1)) + 1
            if "boundaries" in kinds:
                drawn = picture.boundaries and scoring.frame == "whole"
                boundaries.append(picture.boundaries[person] if drawn else boundary_map(cut))
    if "instances" in kinds:
        from eval.instances import in_frame, instance_truth

        assert scoring.frame in ("oclf", "spot"), "objects have frames of their own"
        objects = instance_truth(in_frame(dataset.instances(picture.id), scoring.frame), scoring.frame)
        for name, labels in zip(("instances", "instance_classes"), objects, strict=True):
            maps[name], regions[name] = labels, int(labels.max(initial=0)) + 1
    size = next(iter(maps.values())).shape if maps else boundaries[0].shape
    return Truth((int(size[0]), int(size[1])), maps, regions, boundaries)


def class_map(picture: Picture, scoring: Scoring) -> Labels:
    """Class of each pixel, ``(height, width)`` int16, 0..n_classes-1 or `VOID`.

    Raises:
        DatasetError: no pixel is labelled.
    """
    assert picture.label is not None
    label = scored_part(picture.label, scoring)
    if not (label != VOID).any():
        part = "picture" if scoring.frame == "whole" else "centred square"
        raise DatasetError(f"{picture.id}: the {part} has no labelled pixel; leave it out with dataset.split_file")
    return label


def classes_in(picture: Picture, frame: FrameName) -> int | None:
    """Number of classes in the part of the picture that enters, before resizing; None if it has no classes.

    K-Means-S gets this number for each picture.
    """
    if picture.label is None:
        return None
    label = picture.label if frame == "whole" else centre_crop(picture.label)
    return len(np.unique(label[label != VOID]))


@cache
def mean_classes(dataset: Dataset, frame: FrameName = "square") -> int:
    """Mean number of classes in a frame of all pictures, rounded, at least 1; ignores ``limit``.

    Reads every label map once per process. Leaves out unreadable pictures: the run records their errors later.

    Raises:
        DatasetError: no picture can be read.
    """
    counts = []
    for id in dataset.listed:
        try:
            counts.append(classes_in(dataset.load(id), frame) or 0)
        except DatasetError:
            continue
    if not counts:
        raise DatasetError(f"{dataset.name}: none of the {len(dataset.listed)} pictures can be read")
    return max(1, round(fmean(counts)))


def compare(
    labels: Labels, truth: Truth, components: bool = False
) -> tuple[dict[str, SparseTable], dict[str, list[int]]]:
    """Compares a label map with a truth.

    Args:
        labels: number of each pixel's segment, ``(height, width)``; negative: in no segment.
        truth: the truth at the same pixels.
        components: split segments into connected components first.

    Returns:
        Name -> contingency table, and name -> counts, see `eval.records.Record`.

    Raises:
        ValueError: the shapes differ.
    """
    if labels.shape != truth.size:
        raise ValueError(f"labels: must have the shape {truth.size}, got {labels.shape}")
    if components:
        from eval.instances import components as connected

        labels = connected(labels)
    tables = {}
    for name, other in truth.maps.items():
        if not name.startswith(PERSON):
            tables[name] = SparseTable.count(labels, other, truth.regions[name])
    if truth.people is not None:
        numbers, people = truth.people.tables(labels)
        tables |= {f"{PERSON}{number}": SparseTable.of(table, numbers) for number, table in enumerate(people, start=1)}
    counts = {}
    if truth.boundaries:
        from eval.boundaries import compare_boundaries

        counts["boundaries"] = list(compare_boundaries(labels, truth.boundaries))
    return tables, counts


def compare_kept(
    path: Path, segments: int, truth: Truth, components: bool = False
) -> tuple[dict[str, SparseTable], dict[str, list[int]]]:
    """Compares a label map of a results folder with a truth, see `compare`.

    Args:
        path: its file.
        segments: number of segments in its record.
        truth, components: see `compare`.

    Raises:
        LabelMapError: the file is damaged, or fits neither the record nor the truth.
    """
    labels = read_label_map(path)
    try:
        tables, counts = compare(labels, truth, components)
    except ValueError as error:
        raise LabelMapError(f"{path}: cannot be used ({on_one_line(error)})") from error
    number = segment_count(labels, tables)
    if number != segments and (tables or not components):
        raise LabelMapError(f"{path}: has {number} segments, and its record {segments}")
    return tables, counts


def segment_count(labels: Labels, tables: Mapping[str, SparseTable]) -> int:
    """Number of segments that were compared; ``tables`` come from `compare`. Boundaries alone give no table."""
    table = next(iter(tables.values()), None)
    return len(np.unique(labels[labels >= 0])) if table is None else table.segments


def scored_part(labels: Labels, scoring: Scoring) -> Labels:
    """The scored pixels of a label map of the whole picture."""
    if scoring.frame == "whole" or scoring.size is None:
        return labels
    square = centre_crop(labels)
    return nearest(square, (scoring.size, scoring.size))
