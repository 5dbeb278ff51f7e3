"""The watershed of the attention's boundaries."""

from __future__ import annotations

import pytest
import torch

from diffseg.segmenters.base import Scene
from diffseg.segmenters.watershed import Watershed
from tests.helpers.attention import blocks, quarters


def test_the_quarters_are_the_basins() -> None:
    labels = Watershed(0.5)(Scene(aggregated=blocks(8, 0.1), size=(64, 64)))
    assert (labels.dtype, labels.shape, len(labels.unique())) == (torch.int64, (64, 64), 4)
    agree = (labels.flatten()[:, None] * 4 + quarters(64)[:, None]).flatten().unique(return_counts=True)[1]
    assert agree.sort(descending=True).values[:4].sum() > 0.85 * 64**2


def test_attention_without_boundaries_is_one_segment() -> None:
    assert Watershed()(Scene(aggregated=torch.full((16, 16), 1 / 16), size=(8, 8))).unique().tolist() == [0]


def test_a_missing_package_is_named_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "skimage", None)
    with pytest.raises(ValueError, match=r"^watershed: the package skimage is not installed"):
        Watershed().resolved(32, {})
