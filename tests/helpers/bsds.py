"""Writes files as BSDS500 has them, and reads the results that its authors print for gPb-owt-ucm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

THRESHOLDS = [step / 100 for step in range(1, 100)]


def printed(shared: Path, file: str, id: str) -> list[float]:
    """Line of a test picture in a file of the authors, without the number of the line."""
    ids = (shared / "facts" / "bsds500_test.txt").read_text().split()
    lines = (shared / "data" / "bsds500" / "BSDS500" / "ucm2" / "test_eval" / file).read_text().splitlines()
    number, *values = map(float, lines[ids.index(id)].split())
    assert number == ids.index(id) + 1
    return values


def write_truth(path: Path, regions: NDArray[np.integer], boundaries: NDArray[np.integer]) -> None:
    """Writes the regions ``(people, h, w)`` from 1 and boundaries, 0 or 1, of several people as BSDS500 does."""
    people = np.empty((1, len(regions)), object)
    for number, (segmentation, boundary) in enumerate(zip(regions, boundaries, strict=True)):
        people[0, number] = {"Segmentation": segmentation.astype(np.uint16), "Boundaries": boundary.astype(np.uint8)}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"groundTruth": people}, do_compression=True)
