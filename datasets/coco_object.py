"""COCO-Object: all 5,000 pictures of COCO val2017, its 80 things and background.

GroupViT, TCL and DiffCut take the things of COCO-Stuff's stuffthingmaps; stuff and unlabelled pixels are background.
DiffCut scores the 2,175 pictures of COCO-Stuff-27: ``dataset.split_file=`` with that list. The module `coco` shows the
layout of the folder; of the annotations, only the instances are read.
"""

from __future__ import annotations

from dataclasses import dataclass

from datasets.class_table import class_table
from datasets.coco import INSTANCES, CocoVal2017


@dataclass(frozen=True)
class CocoObject(CocoVal2017):
    """COCO val2017 with 81 classes, including the background.

    Labels painted from the annotations show crowds like other things, and the smaller of two overlapping things on top.
    The PNGs may differ.
    """

    name = "coco_object"
    official_count = 5000
    table = class_table("coco_object")
    background = 0
    painted = (INSTANCES,)
