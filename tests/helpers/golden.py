"""Reads the golden files: reference results of the authors' code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from diffseg import aggregate

SIDES = (64, 32, 16, 8)
IMAGES = ("000000017914", "000000350505")


@dataclass(frozen=True)
class Golden:
    """The golden file of one image: features from which attention is made, and masks by the authors' code."""

    arrays: Mapping[str, NDArray]

    @cached_property
    def maps(self) -> dict[int, Tensor]:
        maps = {}
        for side in SIDES:
            features = torch.from_numpy(self.arrays[f"features_{side}"].astype(np.float64))
            maps[side] = (float(self.arrays["scale"]) * features @ features.T).softmax(dim=1).float()
        return maps

    @cached_property
    def aggregated(self) -> Tensor:
        return aggregate(self.maps)

    def masks(self, kind: str) -> list[tuple[float, int, NDArray[np.uint8]]]:
        """All masks of a kind such as ``float64`` or ``refined_float64``, as ``(tau, anchors, mask)``."""
        masks = []
        for key in sorted(self.arrays):
            if key.startswith(f"mask_{kind}_tau"):
                tau, anchors = key.removeprefix(f"mask_{kind}_tau").split("_M")
                masks.append((float(tau), int(anchors), self.arrays[key]))
        return masks


def read_golden(folder: Path, image: str) -> Golden:
    with np.load(folder / f"{image}.npz", allow_pickle=False) as file:
        return Golden(dict(file))


def same_partition(first: NDArray, second: NDArray) -> float:
    """Fraction of the pixels on which two label maps agree after matching their segments one to one."""
    table = np.zeros((int(first.max()) + 1, int(second.max()) + 1), np.int64)
    np.add.at(table, (first.ravel().astype(int), second.ravel().astype(int)), 1)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / first.size)
