"""ADE20K, validation split of the scene parsing challenge 2016: 2,000 pictures, 150 classes.

Layout of the folder, as the official archive unpacks:

    ADEChallengeData2016/images/validation/ID.jpg           pictures
    ADEChallengeData2016/annotations/validation/ID.png      label maps: 1..150, 0 = other, not scored

Value 1 becomes label 0 ("reduce_zero_label"). DiffCut's public code keeps the values, so it scores *other* as a class,
and does not score the last class, flag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from datasets.class_table import ClassTable, class_table
from datasets.paired import PairedDataset

ARCHIVE_FOLDER = "ADEChallengeData2016"
SPLIT = "validation"


@dataclass(frozen=True)
class Ade150(PairedDataset):
    """ADE20K with 150 classes. Ids look like ``ADE_val_00000001``."""

    name: ClassVar[str] = "ade150"
    official_count: ClassVar[int | None] = 2000
    label_source: ClassVar[str] = "annotations"
    table: ClassVar[ClassTable] = class_table("ade150")

    images: ClassVar[str] = f"{ARCHIVE_FOLDER}/images/{SPLIT}"
    maps: ClassVar[str] = f"{ARCHIVE_FOLDER}/annotations/{SPLIT}"
    values: ClassVar[str] = "0..150"
    usual_root: ClassVar[str] = "data/ade20k"
    how_to_get: ClassVar[str] = (
        "download ADEChallengeData2016.zip (0.9 GB) from data.csail.mit.edu/places/ADEchallenge, unpack it in {root}"
    )
