"""The sweeps for wandb: its agent makes commands of them, and Hydra understands these."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.running.arguments import read_arguments
from experiments.running.compose import compose_rows
from tests.conftest import ROOT

agents = pytest.importorskip("wandb.wandb_agent")

SWEEPS = sorted((ROOT / "experiments" / "sweeps").glob("*.yaml"))


def ends(parameter: dict[str, Any]) -> tuple[Any, Any]:
    """First and last of the values, or of the range."""
    values = parameter.get("values") or (parameter["min"], parameter["max"])
    return values[0], values[-1]


def command(sweep: dict[str, Any], values: dict[str, Any], folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """The command that a wandb agent starts for these values."""
    started: list[list[str]] = []

    class Process:
        def __init__(self, command: list[str], **_: object) -> None:
            started.append(command)

    patch.setattr(agents, "AgentProcess", Process)
    patch.setenv("WANDB_DIR", str(folder))
    patch.setenv("WANDB_SWEEP_ID", "sw33p")
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):  # the agent sets these; the patch restores them
        patch.setenv(name, "")
    agent = agents.Agent(api=None, queue=None, sweep_id="sw33p")
    agent._sweep_command = list(sweep["command"])
    args = {name: {"value": value} for name, value in values.items()}
    agent._command_run({"run_id": "r0n", "program": sweep["program"], "args": args})
    return started[0]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
@pytest.mark.parametrize("end", [0, 1])
def test_evaluate_understands_the_command_of_the_agent(
    path: Path, end: int, dinov2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = yaml.safe_load(path.read_text())
    values = {name: ends(parameter)[end] for name, parameter in sweep["parameters"].items()}
    start, overrides = (given := command(sweep, values, tmp_path, monkeypatch))[:4], given[4:]
    assert start == ["/usr/bin/env", "python", "-m", "experiments.evaluate"]
    composed = compose_rows(read_arguments(overrides))
    (row,) = composed.rows
    for name, value in values.items():
        group, key = name.split(".")
        assert row.composed[group][key] == value
    assert composed.tracker._target_ == "eval.tracking.wandb_tracker.WandbTracker"
    assert composed.folder == Path("results/sweeps/sw33p/r0n").resolve()
    assert os.environ["WANDB_RUN_ID"] == "r0n"


def test_there_is_one_sweep_for_each_method() -> None:
    sweeps = {path.stem: yaml.safe_load(path.read_text()) for path in SWEEPS}
    assert {name: sweep["method"] for name, sweep in sweeps.items()} == {
        name: name for name in ("bayes", "grid", "random")
    }
    points = 1
    for parameter in sweeps["grid"]["parameters"].values():
        points *= len(parameter["values"])
    assert points == 24
    for sweep in sweeps.values():
        assert (ROOT / sweep["program"]).is_file()
        assert sweep["metric"]["goal"] == "maximize"
