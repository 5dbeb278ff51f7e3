"""BSDS500 (Arbelaez, Maire, Fowlkes and Malik, TPAMI 2011): 500 photographs, each segmented by four to nine people.

Layout of the folder, as its mirror on GitHub unpacks:

    BSDS500/data/images/{train,val,test}/ID.jpg          200, 100 and 200 pictures, 481 x 321 or 321 x 481 pixels
    BSDS500/data/groundTruth/{train,val,test}/ID.mat     regions and boundaries of each person
    BSDS500/ucm2/{train,val,test}/ID.mat                 hierarchies of gPb-owt-ucm, for ``segmenter=ucm``; optional

Tune on ``train`` and ``val``, report on ``test``. There are no classes. For non-commercial research and education.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from datasets.base import DatasetError, Picture
from datasets.class_table import ClassTable
from datasets.files import warn_once
from datasets.paired import PairedDataset
from diffseg.files.matlab import read_matlab
from diffseg.files.photographs import decode_photo

ARCHIVE_FOLDER = "BSDS500"
Split = Literal["train", "val", "test"]
COUNTS: dict[Split, int] = {"train": 200, "val": 100, "test": 200}
"""Split -> number of pictures."""


@dataclass(frozen=True)
class Bsds500(PairedDataset):
    """BSDS500. Ids are numbers such as ``100007``. They are sorted as text, as in the authors' tables of results.

    Attributes:
        root: the folder that holds ``BSDS500/``, or that folder itself.
        split: the split to evaluate.
    """

    split: Split = "test"

    name = "bsds500"
    truths = ("people",)
    table = ClassTable((), MappingProxyType({}))

    images = "data/images/{split}"
    maps = "data/groundTruth/{split}"
    map_ending = ".mat"
    usual_root = "data/bsds500"
    how_to_get = "get it (0.2 GB, no account) with `make data-bsds500 DIR={root}`"

    @property
    def official_count(self) -> int | None:
        return COUNTS[self.split]

    @property
    def label_source(self) -> str:
        return f"groundTruth/{self.split}"

    def _pictures(self) -> Collection[str]:
        pictures = super()._pictures()
        if self.split_file is None and len(pictures) < COUNTS[self.split]:
            warn_once(f"{self._image_folder}: {len(pictures)} of {COUNTS[self.split]} pictures are there")
        return pictures

    def _check_listed(self, ids: Collection[str]) -> None:
        """A missing ``.mat`` file is an error of its picture only, and raised by `load`."""

    def _load(self, id: str) -> Picture:
        """Decodes a picture, and the regions and boundaries of its people. Raises `DatasetError` and PhotoError."""
        path, image = self.label_path(id), decode_photo(self.image_path(id), upright=False).pixels
        try:
            people = [_person(cell) for cell in read_matlab(path, "groundTruth").ravel()]
            if not people:
                raise ValueError("holds no segmentation")
            if sizes := {regions.shape for regions, _ in people} - {image.shape[:2]}:
                (height, width), *_ = sizes
                raise ValueError(f"is {width} x {height} pixels, its picture {image.shape[1]} x {image.shape[0]}")
        except ValueError as error:
            raise DatasetError(f"{path}: {error}; unpack or copy it again") from error
        regions, boundaries = zip(*people, strict=True)
        return Picture(id, image, people=regions, boundaries=boundaries)

    @property
    def _folder(self) -> Path:
        folder = super()._folder
        return folder / ARCHIVE_FOLDER if (folder / ARCHIVE_FOLDER).is_dir() else folder


def _person(cell: Any) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Regions ``(h, w)`` from 0 and boundaries ``(h, w)`` of a person, from a cell of ``groundTruth``."""
    try:
        regions, boundaries = (np.asarray(cell[name][0, 0]) for name in ("Segmentation", "Boundaries"))
    except (TypeError, ValueError, IndexError):
        raise ValueError("does not hold a Segmentation and Boundaries of each person") from None
    if regions.ndim != 2 or regions.dtype.kind != "u" or not regions.size or regions.min() < 1:
        raise ValueError("a Segmentation in it is no map of whole numbers from 1")
    if boundaries.shape != regions.shape or boundaries.dtype.kind != "u" or boundaries.max() > 1:
        raise ValueError("Boundaries in it are no map of 0 and 1 of the size of their Segmentation")
    return regions.astype(np.int32) - 1, boundaries > 0
