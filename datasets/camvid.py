"""CamVid, 11 classes, in SegNet's release: frames of 480 x 360 pixels from four drives through Cambridge.

Layout of the folder, as the release unpacks:

    CamVid/{train,val,test}/ID.png           367, 101 and 233 pictures
    CamVid/{train,val,test}annot/ID.png      label maps: 0..10, 11 = unlabelled, not scored

Tune on ``val``, report on ``test``. The frames of ``test`` come from two drives (62 and 171 frames), those of ``val``
from one. Neighbouring frames are alike, so intervals over frames are too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from datasets.class_table import class_table
from datasets.paired import PairedDataset

Split = Literal["train", "val", "test"]
COUNTS: dict[Split, int] = {"train": 367, "val": 101, "test": 233}
"""Split -> number of pictures."""


@dataclass(frozen=True)
class Camvid(PairedDataset):
    """CamVid with 11 classes. Ids look like ``0001TP_008550``.

    Attributes:
        split: the split to evaluate.
    """

    split: Split = "test"

    name = "camvid"
    table = class_table("camvid")

    images = "CamVid/{split}"
    maps = "CamVid/{split}annot"
    image_endings = (".png",)
    usual_root = "data/camvid"
    how_to_get = "get SegNet's release (0.2 GB, no account) with `make data-camvid DIR={root}`"

    @property
    def official_count(self) -> int | None:
        return COUNTS[self.split]

    @property
    def label_source(self) -> str:
        return f"{self.split}annot"
