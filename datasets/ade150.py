"""ADE20K, validation split of the scene parsing challenge 2016: 2,000 pictures, 150 classes.

Layout of the folder, as the official archive unpacks:

    ADEChallengeData2016/images/validation/ID.jpg           pictures
    ADEChallengeData2016/annotations/validation/ID.png      label maps: 1..150, 0 = other, not scored

Value 1 becomes label 0 ("reduce_zero_label"). DiffCut's public code keeps the values, so it scores *other* as a class,
and does not score the last class, flag.
"""

from __future__ import annotations

from dataclasses import dataclass

from datasets.class_table import class_table
from datasets.paired import PairedDataset


@dataclass(frozen=True)
class Ade150(PairedDataset):
    """ADE20K with 150 classes. Ids look like ``ADE_val_00000001``."""

    name = "ade150"
    official_count = 2000
    label_source = "annotations"
    table = class_table("ade150")

    images = "ADEChallengeData2016/images/validation"
    maps = "ADEChallengeData2016/annotations/validation"
    usual_root = "data/ade20k"
    how_to_get = (
        "download ADEChallengeData2016.zip (0.9 GB) from data.csail.mit.edu/places/ADEchallenge, unpack it in {root}"
    )
