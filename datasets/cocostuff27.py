"""COCO-Stuff-27: COCO val2017 with the 182 things and stuff of COCO-Stuff joined to 27 classes.

The module `coco` shows the layout of the folder. It also holds the list of 2,175 pictures that IIC, PiCIE and later
papers evaluate: ``Coco164kFull_Stuff_Coarse_7.txt``, or PiCIE's ``curated/val2017/Coco164kFull_Stuff_Coarse_7.txt``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets.class_table import class_table
from datasets.coco import INSTANCES, SPLIT, STUFF, CocoVal2017
from datasets.coco_json import UNPAINTED

OFFICIAL_LIST = "Coco164kFull_Stuff_Coarse_7.txt"


@dataclass(frozen=True)
class CocoStuff27(CocoVal2017):
    """COCO val2017 with 27 classes. Where things overlap, labels painted from annotations differ from the PNGs."""

    name = "cocostuff27"
    official_count = 2175
    table = class_table("cocostuff27")
    ignored = (UNPAINTED,)
    painted = (STUFF, INSTANCES)

    @property
    def official_list(self) -> Path | None:
        places = (self._folder / OFFICIAL_LIST, self._folder / "curated" / SPLIT / OFFICIAL_LIST)
        return next((path for path in places if path.is_file()), None)
