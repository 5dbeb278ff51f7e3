"""Plans, without Hydra, of runs on a folder of tiny pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.running.plan import RunPlan
from omegaconf import OmegaConf

from eval.config import RowConfig


def plan_of(folder: Path, *rows: RowConfig, **options: Any) -> RunPlan:
    """The plan of a run without a network. ``options``: of `RunPlan`, or keys of the configuration."""
    keys = {
        **{"name": "run", "results_dir": str(folder), "device": "cpu", "batch_size": None, "panels": 0},
        **{"published": None, "audit": False, "tracker": {"_target_": "eval.tracking.base.NoTracker"}},
    }
    of_plan = {name: value for name, value in options.items() if name in RunPlan.__dataclass_fields__}
    changed = {name: value for name, value in options.items() if name not in of_plan}
    return RunPlan(OmegaConf.create({**keys, **changed}), rows, folder, **of_plan)
