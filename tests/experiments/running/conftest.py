"""Fixtures of the tests of sweeps."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import eval.decoding
from diffseg.aggregation import Aggregation
from diffseg.backbones.unet_attention import UNetAttention
from diffseg.backbones.vit_attention import ViTAttention
from diffseg.divergence import Logarithms
from diffseg.merging import Merger
from diffseg.segmenters import lloyd
from tests.helpers.runs import Run, evaluate
from tests.helpers.sweeps import Sweep


@pytest.fixture
def sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sweep:
    def call(*overrides: str, folder: str = "sweep") -> Run:
        return evaluate(tmp_path / folder, *overrides, capture=capsys, multirun=True)

    return call


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Number of calls of each step that jobs can share."""
    counted: Counter[str] = Counter()

    def count(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counting(*arguments: Any, **keywords: Any) -> Any:
            counted[name] += 1
            return original(*arguments, **keywords)

        monkeypatch.setattr(owner, name, counting)

    for owner, name in (
        (ViTAttention, "attend_encoded"),
        (UNetAttention, "encode"),
        (UNetAttention, "predict"),
        (Aggregation, "__call__"),
        (Logarithms, "of"),
        (Logarithms, "divergence"),
        (Merger, "proposals"),
        (lloyd, "cluster_seeds"),
        (eval.decoding, "square_image"),
    ):
        count(owner, name)
    return counted
