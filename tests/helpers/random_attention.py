"""A backbone with random attention, and a random picture, for tests of the steps after the backbone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffseg.attention import AttentionMaps
from diffseg.backbones import AttentionModel

SIDES, SIZE = (8, 4, 2), 32
PROPORTIONAL = (1.0, 0.5, 0.25)


class Random(AttentionModel):
    """Random attention, the same for every picture."""

    def __init__(self) -> None:
        self.spec, self.passes = SimpleNamespace(size=SIZE, sides=SIDES), 0

    def attend_encoded(self, encoded: Tensor, spec: object) -> list[AttentionMaps]:
        self.passes += 1
        generator = torch.Generator().manual_seed(0)
        maps = {side: torch.randn(side**2, side**2, generator=generator).mul(1.5).softmax(dim=1) for side in SIDES}
        features = torch.randn(SIDES[0] ** 2, 5, generator=generator)
        return [AttentionMaps(maps, features=features) for _ in encoded]


def picture(height: int = 40, width: int = 40) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
