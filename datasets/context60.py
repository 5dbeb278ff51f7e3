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

from datasets.class_table import class_table
from datasets.paired import PairedDataset

ARCHIVE_FOLDER = "VOCdevkit/VOC2010"


@dataclass(frozen=True)
class Context60(PairedDataset):
    """PASCAL Context with 60 classes, including the background. Ids look like ``2008_000002``."""

    name = "context60"
    official_count = 5104
    label_source = "SegmentationClassContext"
    table = class_table("context60")
    background = 0

    images = f"{ARCHIVE_FOLDER}/JPEGImages"
    maps = f"{ARCHIVE_FOLDER}/SegmentationClassContext"
    split_list = f"{ARCHIVE_FOLDER}/ImageSets/SegmentationContext/val.txt"
    usual_root = "data/voc"
    how_to_get = (
        "unpack VOCtrainval_03-May-2010.tar of host.robots.ox.ac.uk/pascal/VOC/voc2010 in {root}, make the label maps "
        "with mmsegmentation's tools/dataset_converters/pascal_context.py {root}/VOCdevkit trainval_merged.json"
    )
