"""Every segmenter through the command line, on one picture with the real weights of DINOv2."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.conftest import ROOT
from tests.runs import evaluate


def test_one_experiment_compares_them_all(dinov2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    variants = OmegaConf.load(ROOT / "conf" / "experiment" / "segmenters.yaml").variants
    chosen = [each.overrides[0].removeprefix("segmenter=") for each in variants]
    assert sorted(chosen) == sorted(path.stem for path in (ROOT / "conf" / "segmenter").glob("*.yaml"))
    small = ("backbone.size=224", "backbone.sides=[16]", "dataset.limit=1", "panels=0")
    run = evaluate(tmp_path, "experiment=segmenters", *small, capture=capsys)
    assert run.status == 0, run.err
    table = run.table().query("protocol == 'official'").set_index("segmenter")
    assert list(table.index) == chosen
    assert (table["failed"] == 0).all()
    assert table["acc"].idxmax() == "oracle"
    assert table["acc"].max() < 100  # 16 x 16 cells do not hold the picture's borders
