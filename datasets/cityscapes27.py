"""Cityscapes, official validation split, 27 classes: label ids 7..33, the rest void (as PiCIE and STEGO do).

Layout of the folder, as the official archives unpack:

    leftImg8bit/val/CITY/ID_leftImg8bit.png      pictures
    gtFine/val/CITY/ID_gtFine_labelIds.png       label maps
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from datasets.base import DatasetError, Sample
from datasets.class_table import ClassTable, class_table
from datasets.listing import ListedDataset
from datasets.reading import make_sample, read_image, read_label

SPLIT = "val"
LAST_ID = 33
LICENSE_PLATE = 255  # -1 in an 8-bit file
IMAGE_SUFFIX = "_leftImg8bit.png"
LABEL_SUFFIX = "_gtFine_labelIds.png"


@dataclass(frozen=True)
class Cityscapes27(ListedDataset):
    """Cityscapes with 27 classes. Ids look like ``frankfurt_000000_000294``.

    Attributes:
        root: folder with the layout above.
    """

    root: str | None

    name: ClassVar[str] = "cityscapes27"
    official_count: ClassVar[int | None] = 500
    table: ClassVar[ClassTable] = class_table("cityscapes27")

    @property
    def label_source(self) -> str:
        """Always "gtFine"."""
        return "gtFine"

    def load(self, id: str) -> Sample:
        """Decodes a picture and its 27 classes. Raises `DatasetError` naming the file that cannot be used."""
        image_path, label_path = self._image_path(id), self._label_path(id)
        image, values = read_image(image_path), read_label(label_path)
        unknown = values[(values > LAST_ID) & (values != LICENSE_PLATE)]
        if unknown.size:
            raise DatasetError(
                f"{label_path}: unknown label id {unknown[0]}; labelIds hold 0..{LAST_ID} and {LICENSE_PLATE}; "
                "take gtFine's *_labelIds.png"
            )
        return make_sample(id, image, self.table.labels(values), image_path, label_path)

    def _pictures(self) -> set[str]:
        images, labels = self._folder / "leftImg8bit" / SPLIT, self._folder / "gtFine" / SPLIT
        pictures = {path.name.removesuffix(IMAGE_SUFFIX) for path in images.glob(f"*/*{IMAGE_SUFFIX}")}
        if not pictures:
            raise DatasetError(f"{images}: no pictures (CITY/*{IMAGE_SUFFIX}) there; {self._where}")
        if not labels.is_dir():
            raise DatasetError(f"{labels}: no label maps there; {self._where}")
        return pictures

    def _image_path(self, id: str) -> Path:
        return self._folder / "leftImg8bit" / SPLIT / _city(id) / f"{id}{IMAGE_SUFFIX}"

    def _label_path(self, id: str) -> Path:
        return self._folder / "gtFine" / SPLIT / _city(id) / f"{id}{LABEL_SUFFIX}"

    @property
    def _folder(self) -> Path:
        if not self.root:
            raise DatasetError(f"dataset.root: not set, but {self.name} lies in a folder; {self._where}")
        return Path(self.root).expanduser()

    @property
    def _where(self) -> str:
        root = self.root or "data/cityscapes"
        return (
            "download leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from cityscapes-dataset.com (free "
            f"account) into {root}, unpack them with `make data-cityscapes DIR={root}`, then give dataset.root={root}"
        )


def _city(id: str) -> str:
    return id.split("_")[0]
