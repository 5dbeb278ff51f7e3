"""The time step of the configuration reaches the U-Net."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from datasets.photos import Photos
from datasets.transforms import square
from experiments.bench.tiny_sd import build_tiny_sd
from experiments.rows import expand
from tests.conftest import ROOT
from tests.runs import evaluate

SD = ("backbone=sd14", "backbone.size=128")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_sd(tmp_path_factory.mktemp("sd"))


def test_timestep_changes_the_attention(tiny: Path) -> None:
    image, _ = square(Photos().load("coffee"), 128)
    maps = []
    for timestep in (1, 300, 300, 900):
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            overrides = [*SD, f"backbone.path={tiny}", f"backbone.timestep={timestep}"]
            (row,) = expand(compose("config", overrides=overrides), [], {"segmenter": "diffseg"})
        maps.append(row.backbone.load("cpu").attend(image[None])[0])
    assert maps[0].sides == (16, 8, 4, 2)
    for side in maps[0].sides:
        assert torch.equal(maps[1].maps[side], maps[2].maps[side])
        for other in (0, 3):
            assert float((maps[1].maps[side] - maps[other].maps[side]).abs().max()) > 1e-4


def test_stable_diffusion_from_end_to_end(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = (*SD, f"backbone.path={tiny}", "segmenter.tau=0.1", "dataset.limit=2", "panels=1")
    done = evaluate(tmp_path / "run", *overrides, capture=capsys)
    assert done.status == 0, done.err
    row = done.table().iloc[0]
    assert (row["sides"], row["timestep"], row["images"]) == ("[16,8,4,2]", 300, 2)
    again = evaluate(tmp_path / "run", *overrides, "backbone.timestep=301", capture=capsys)
    assert len(again.images()) == 4  # another time step is another variant
