"""PASCAL Context, ``val``: 5,104 pictures of VOC 2010, the 59 usual classes and background.

DiffCut scores these 60 classes. The TCL benchmark scores the 60 classes, and also the 59 without background. The paper
of PASCAL Context counts 5,105 pictures; the annotations used since PASCAL in Detail (trainval_merged.json) have 5,104.
Layout, after mmsegmentation's conversion (tools/dataset_converters/pascal_context.py):

    VOCdevkit/VOC2010/JPEGImages/ID.jpg                             pictures
    VOCdevkit/VOC2010/SegmentationClassContext/ID.png               label maps: 1..59, 0 = background, all else
    VOCdevkit/VOC2010/ImageSets/SegmentationContext/val.txt         the list, written by the conversion
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from datasets.class_table import ClassTable, class_table
from datasets.paired import PairedDataset

ARCHIVE_FOLDER = "VOCdevkit/VOC2010"


@dataclass(frozen=True)
class Context60(PairedDataset):
    """PASCAL Context with 60 classes, including the background. Ids look like ``2008_000002``."""

    name: ClassVar[str] = "context60"
    official_count: ClassVar[int | None] = 5104
    label_source: ClassVar[str] = "SegmentationClassContext"
    table: ClassVar[ClassTable] = class_table("context60")
    background: ClassVar[int | None] = 0

    images: ClassVar[str] = f"{ARCHIVE_FOLDER}/JPEGImages"
    maps: ClassVar[str] = f"{ARCHIVE_FOLDER}/SegmentationClassContext"
    split_list: ClassVar[str | None] = f"{ARCHIVE_FOLDER}/ImageSets/SegmentationContext/val.txt"
    values: ClassVar[str] = "0..59, as mmsegmentation's pascal_context.py writes them"
    usual_root: ClassVar[str] = "data/voc"
    how_to_get: ClassVar[str] = (
        "unpack VOCtrainval_03-May-2010.tar of host.robots.ox.ac.uk/pascal/VOC/voc2010 in {root}, make the label maps "
        "with mmsegmentation's tools/dataset_converters/pascal_context.py {root}/VOCdevkit trainval_merged.json"
    )
