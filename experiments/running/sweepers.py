"""Runs Hydra's own program, for sweepers and launchers of other packages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from diffseg import parts
from eval.config import ConfigError
from eval.runs import read_runs
from experiments.running.arguments import Arguments, for_hydra, key_of
from experiments.running.compose import GROUPS, compose_rows

HERE = "."
"""Value of ``hydra.sweep.subdir`` for points that this process evaluates: they become rows of one run."""


def sweep(arguments: Arguments) -> bool:
    """Runs a sweep of Hydra's program. Returns True if pictures failed.

    Each point of a sweeper becomes rows of one run. A launcher makes each point a run of its own, in a process of its
    own, in a folder below ``results_dir``.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: the arguments are wrong.
    """
    if not arguments.swept:
        raise ConfigError(f"{arguments.hydra[0]}: is a setting of sweeps, which need -m")
    failed: list[bool] = []

    @hydra.main(version_base="1.3", config_path=str(parts.conf_folder()), config_name="config")
    def evaluate_point(_: DictConfig) -> float | None:
        job = HydraConfig.get()
        overrides = [each.removeprefix("++") for each in job.overrides.task]
        if job.sweep.subdir != HERE:
            overrides = [each for each in overrides if key_of(each) != "results_dir"]
            overrides.append(f"results_dir={(Path(job.sweep.dir) / job.sweep.subdir).absolute()}")
        # A process of a launcher knows the user's folder only from Hydra.
        sources = (Path(source.path) for source in job.runtime.config_sources if source.provider == "command-line")
        point = Arguments(overrides, config_dir=next(sources, None), typed=tuple(sys.argv[1:]))
        composed = compose_rows(point)
        from experiments.running.runner import run_rows

        outcome = run_rows(composed, point)
        failed.append(bool(outcome.failed) and not composed.config.allow_failures)
        return outcome.score

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises its errors instead of printing them
    launched = any(key_of(each) == "hydra/launcher" for each in arguments.hydra)
    options = [f"--config-dir={arguments.config_dir}"] if arguments.config_dir else []
    options += [] if launched else [f"hydra.sweep.subdir={HERE}"]
    # Hydra refuses keys that its own configuration, without the rows of an experiment, lacks, unless they have ++.
    lines = [
        each if key_of(each) in (*GROUPS, "experiment") else f"++{each}" for each in map(for_hydra, arguments.overrides)
    ]
    sys.argv[1:] = ["-m", *options, *arguments.hydra, *lines]
    if arguments.config_dir is not None:
        parts.find_modules_beside(arguments.config_dir)
    evaluate_point()
    return any(failed) or (launched and _jobs_failed(arguments))


def _jobs_failed(arguments: Arguments) -> bool:
    """True if pictures failed in a job of a launcher."""
    composed = compose_rows(Arguments(arguments.overrides, arguments.swept, arguments.config_dir), checked=False)
    folder = Path(composed.config.results_dir or "results/sweep")
    return not composed.config.allow_failures and any(row.failed for run in read_runs(folder) for row in run.rows)
