"""Cityscapes, official validation split, 27 classes: label ids 7..33, the rest void (as PiCIE and STEGO do).

Layout of the folder, as the official archives unpack:

    leftImg8bit/val/CITY/ID_leftImg8bit.png      pictures
    gtFine/val/CITY/ID_gtFine_labelIds.png       label maps
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from datasets.class_table import ClassTable, class_table
from datasets.paired import PairedDataset

SPLIT = "val"
FIRST_ID, LAST_ID = 7, 33
LICENSE_PLATE = 255  # -1 in an 8-bit file
IMAGE_SUFFIX = "_leftImg8bit.png"
LABEL_SUFFIX = "_gtFine_labelIds.png"


@dataclass(frozen=True)
class Cityscapes27(PairedDataset):
    """Cityscapes with 27 classes. Ids look like ``frankfurt_000000_000294``."""

    name: ClassVar[str] = "cityscapes27"
    official_count: ClassVar[int | None] = 500
    label_source: ClassVar[str] = "gtFine"
    table: ClassVar[ClassTable] = class_table("cityscapes27")

    images: ClassVar[str] = f"leftImg8bit/{SPLIT}"
    maps: ClassVar[str] = f"gtFine/{SPLIT}"
    image_endings: ClassVar[tuple[str, ...]] = (IMAGE_SUFFIX,)
    map_ending: ClassVar[str] = LABEL_SUFFIX
    nested: ClassVar[bool] = True
    values: ClassVar[str] = f"0..{LAST_ID} and {LICENSE_PLATE} (gtFine's *_labelIds.png)"
    ignored: ClassVar[Collection[int]] = (*range(FIRST_ID), LICENSE_PLATE)
    usual_root: ClassVar[str] = "data/cityscapes"
    how_to_get: ClassVar[str] = (
        "download leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from cityscapes-dataset.com (free "
        "account) into {root}, unpack them with `make data-cityscapes DIR={root}`"
    )

    def _place(self, id: str) -> str:
        return f"{id.split('_')[0]}/{id}"
