"""Hierarchies cut at thresholds, and files that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from diffseg.segmenters.base import Scene, UnusablePicture
from diffseg.segmenters.ucm import UCM

# Three pixels in a row and two rows: a contour of 0.3 after the first column, of 0.6 after the second.
HIERARCHY = np.zeros((5, 7))
HIERARCHY[:, 2], HIERARCHY[:, 4] = 0.3, 0.6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    savemat(tmp_path / "7.mat", {"ucm2": HIERARCHY})
    return tmp_path


def scene(size: tuple[int, int] = (2, 3), id: str | None = "7") -> Scene:
    return Scene(size=size, id=id)


@pytest.mark.parametrize(
    ("threshold", "row"), [(0.0, [0, 1, 2]), (0.29, [0, 1, 2]), (0.3, [0, 0, 1]), (0.6, [0, 0, 0])]
)
def test_contours_above_the_threshold_separate_segments(folder: Path, threshold: float, row: list[int]) -> None:
    labels = UCM(str(folder), threshold).resolved(0, {})(scene())
    assert (labels.dtype, labels.tolist()) == (torch.int64, [row, row])


def test_many_thresholds_read_the_file_once(folder: Path) -> None:
    segmenters = [UCM(str(folder), threshold) for threshold in (0.1, 0.4)]
    expected = [segmenter(scene()) for segmenter in segmenters]
    maps = UCM.segment_all(scene(), segmenters)
    first = next(maps)
    (folder / "7.mat").unlink()
    assert all(map(torch.equal, [first, *maps], expected))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "the hierarchy is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:150]), "cannot be decoded"),
        (lambda path: savemat(path, {"ucm": HIERARCHY}), "has no variable ucm2"),
        (lambda path: savemat(path, {"ucm2": HIERARCHY + 0.1}), "is no map of contours at twice the size"),
        (lambda path: savemat(path, {"ucm2": np.zeros((5, 5))}), "is a hierarchy of 2 x 2 pixels, but 3 x 2 are"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_of_its_picture(
    folder: Path, spoil: Callable[[Path], Any], reason: str
) -> None:
    spoil(folder / "7.mat")
    with pytest.raises(UnusablePicture, match=reason):
        UCM(str(folder))(scene())


def test_a_run_is_refused_without_any_hierarchy(folder: Path) -> None:
    for wrong, message in ((UCM(), "^folder: not set"), (UCM("nowhere"), "^folder: nowhere is not a folder")):
        with pytest.raises(ValueError, match=message):
            wrong.resolved(0, {})
    segmenter = UCM(str(folder))
    assert segmenter.check_files(["7"], ["7"]) == []
    assert len(segmenter.check_files(["7", "8"], ["7", "8"])) == 1
    with pytest.raises(ValueError, match="no hierarchy of any of the 2 pictures"):
        segmenter.check_files(["8", "9"], ["8", "9"])
