"""What is to be evaluated into one results folder: the plan of a run, or of a job of a sweep. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from eval.config import Row
from experiments.rows import expand


@dataclass(frozen=True)
class Plan:
    """One run.

    Attributes:
        config: the composed configuration.
        rows: as configured; `experiments.rows.check` looks after data and weights.
        folder: results folder.
        group: name under which a tracker shows it together with others.
        title: of a job of a sweep, in front of what is said of it; empty where it is alone.
    """

    config: DictConfig
    rows: Sequence[Row]
    folder: Path
    group: str
    title: str = ""


def plan(config: DictConfig, group: str, title: str = "") -> Plan:
    """The plan of the job that Hydra is running. Raises ConfigError, see `experiments.rows.expand`."""
    job = HydraConfig.get()
    rows = expand(config, job.overrides.task, job.runtime.choices)
    return Plan(config, rows, Path(job.runtime.output_dir), group, title)
