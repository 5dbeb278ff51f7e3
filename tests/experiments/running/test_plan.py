"""The plan of a run or job: its folders, and its overrides as a user can type them."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiments.running.plan import RunPlan, plan
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from tests.conftest import ROOT


def planned(*overrides: str, task: tuple[str, ...] = (), **options: object) -> RunPlan:
    """The plan of an invocation. ``task``: the overrides that Hydra would store."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", overrides=list(overrides), return_hydra_config=True)
    with open_dict(config):
        config.hydra.overrides.task = list(task)
        HydraConfig.instance().set_config(config)
        del config["hydra"]
    return plan(config, **options)  # type: ignore[arg-type]


def test_a_run_has_its_records_beside_its_tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    task = ("results_dir=run", "segmenter.tau=0.3", "name='a b'", "name=two\\ words", "hydra.verbose=1", "~x.y")
    made = planned("results_dir=run", "hydra.mode=RUN", task=task)
    assert made.folder == made.records_folder == tmp_path / "run"
    assert made.sweep is None
    assert made.overrides == ("segmenter.tau=0.3", "name='a b'", "name=two words", "~x.y")
    assert [row.name for row in made.rows] == ["diffseg"]


def test_jobs_have_their_records_with_the_sweep_only_if_they_run_together(tmp_path: Path) -> None:
    job = ("hydra.mode=MULTIRUN", f"hydra.sweep.dir={tmp_path}", "hydra.sweep.subdir=3", "hydra.job.num=3")
    apart, together = planned(*job), planned(*job, point="tau=0.3", together=True)
    assert apart.folder == apart.records_folder == together.folder == tmp_path / "3"
    assert (apart.sweep, together.sweep, together.records_folder) == (tmp_path,) * 3
    assert (apart.point, together.point) == ("3", "tau=0.3")
