"""PASCAL Context: the class of each value of mmsegmentation's label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.context60 import Context60
from tests.helpers.paired_folder import label_of, write_label, write_list, write_pair

ID = "2008_000002"


def test_every_value_is_a_class(tmp_path: Path) -> None:
    write_pair(tmp_path, Context60, ID, shape=(6, 10))
    write_list(tmp_path, Context60, [ID])
    write_label(label_of(tmp_path, Context60, ID), np.arange(60, dtype=np.uint8).reshape(6, 10), palette=False)
    dataset = Context60(root=str(tmp_path))
    assert dataset.load(ID).label.ravel().tolist() == list(range(60))
    assert (dataset.label_source, dataset.official_count, dataset.background) == ("SegmentationClassContext", 5104, 0)


def test_classes_are_in_the_order_of_the_conversion() -> None:
    names = Context60.table.names
    assert len(names) == 60
    assert names[0] == "background"
    assert list(names[1:]) == sorted(names[1:])
    assert {"aeroplane", "bedclothes", "pottedplant", "tvmonitor", "sky", "wood"} < set(names)
