"""Fixtures for tests of the command line."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from diffseg.backbones.vit import ViT
from diffseg.cli import main as cli
from diffseg.result import Result


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.uint8]]:
    """Replaces the model by one that splits each picture down the middle. Returns the pictures that it was given."""
    given: list[NDArray[np.uint8]] = []

    def segment(image: NDArray[np.uint8]) -> tuple[Result, None]:
        given.append(image)
        labels = np.zeros(image.shape[:2], np.int64)
        labels[:, image.shape[1] // 2 :] = 1
        return Result(image, labels), None

    monkeypatch.setattr(ViT, "check", lambda self: None)
    monkeypatch.setattr(cli, "_load", lambda *given: segment)
    return given
