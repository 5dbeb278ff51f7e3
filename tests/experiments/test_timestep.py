"""The time step of the configuration reaches the U-Net."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datasets.photos import Photos
from diffseg.attention import AttentionError
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention
from tests.helpers.rows import rows_of
from tests.helpers.runs import Run, evaluate
from tests.helpers.squares import square_image

SD = ("backbone=sd14", "backbone.size=128")


def test_timestep_changes_the_attention(sd: Path) -> None:
    image = square_image(Photos().load("coffee"), 128)
    maps = []
    for timestep in (1, 300, 300, 900):
        (row,) = rows_of(*SD, f"backbone.path={sd}", f"backbone.timestep={timestep}")
        maps.append(row.backbone.load("cpu").attend(image[None])[0])
    assert maps[0].sides == (16, 8, 4, 2)
    for side in maps[0].sides:
        assert torch.equal(maps[1].maps[side], maps[2].maps[side])
        for other in (0, 3):
            assert float((maps[1].maps[side] - maps[other].maps[side]).abs().max()) > 1e-4


@pytest.fixture
def steps(sd: Path, tmp_path: Path) -> Callable[[str], Run]:
    """Runs a sweep over time steps on two pictures."""

    def sweep(values: str) -> Run:
        overrides = (*SD, f"backbone.path={sd}", "segmenter.tau=0.1", "dataset.limit=2", "panels=0", "batch_size=2")
        return evaluate(tmp_path / "run", *overrides, f"backbone.timestep={values}", multirun=True)

    return sweep


def test_a_time_step_that_fails_leaves_the_others_alone(
    steps: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    attend = UNetAttention.attend_encoded

    def fails(self: UNetAttention, latents: Tensor, spec: StableDiffusion, prompt: Tensor | None = None) -> Any:
        if spec.timestep == 100:
            raise AttentionError("maps: rows of side 16 are negative, NaN or do not sum to 1")
        return attend(self, latents, spec, prompt)

    monkeypatch.setattr(UNetAttention, "attend_encoded", fails)
    done = steps("100,300")
    assert done.status == 1
    assert done.table().query("protocol == 'present'")[["timestep", "images", "failed"]].to_numpy().tolist() == [
        [100, 0, 2],
        [300, 2, 0],
    ]


def test_a_sweep_that_grows_computes_only_its_new_time_steps(
    steps: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    attended: list[tuple[int, int]] = []
    predict = UNetAttention.predict

    def counting(self: UNetAttention, latents: Tensor, timestep: int, prompt: Tensor | None = None) -> Tensor:
        attended.append((timestep, len(latents)))
        return predict(self, latents, timestep, prompt)

    monkeypatch.setattr(UNetAttention, "predict", counting)
    assert steps("100,300").status == 0
    assert attended == [(100, 2), (300, 2)]
    attended.clear()
    assert steps("100,300,500").status == 0
    assert attended == [(500, 2)]
