"""ADE20K: the class of each value of the label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets.ade150 import Ade150
from datasets.base import VOID, DatasetError
from tests.helpers.paired_folder import label_of, write_label, write_pair

ID = "ADE_val_00000001"


def test_zero_is_void_and_the_rest_moves_down_by_one(tmp_path: Path) -> None:
    write_pair(tmp_path, Ade150, ID, shape=(1, 151))
    write_label(label_of(tmp_path, Ade150, ID), np.arange(151, dtype=np.uint8)[None], palette=False)
    dataset = Ade150(root=str(tmp_path))
    assert dataset.ids == (ID,)
    assert dataset.load(ID).label.ravel().tolist() == [VOID, *range(150)]
    assert (dataset.label_source, dataset.official_count, dataset.background) == ("annotations", 2000, None)


def test_class_names_are_those_of_the_challenge() -> None:
    names = Ade150.table.names
    assert len(set(names)) == len(names) == 150
    assert [names[label] for label in (0, 1, 2, 12, 20, 126, 149)] == [
        *("wall", "building", "sky", "person", "car", "animal", "flag"),
    ]


def test_a_picture_without_any_class_is_an_error(tmp_path: Path) -> None:
    write_pair(tmp_path, Ade150, ID, shape=(4, 4))
    path = label_of(tmp_path, Ade150, ID)
    write_label(path, np.zeros((4, 4), np.uint8), palette=False)
    with pytest.raises(DatasetError, match=rf"^{path}: no pixel of {ID} has a class"):
        Ade150(root=str(tmp_path)).load(ID)
