"""Runs Hydra's own program, for sweepers and launchers of other packages."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.conf import RuntimeConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from omegaconf import DictConfig

from diffseg import parts
from eval.config import ConfigError
from eval.runs import read_runs
from experiments.running.arguments import Arguments, for_hydra, key_of
from experiments.running.compose import GROUPS, compose_rows

# Hydra finds plugins only in the namespace package hydra_plugins. This folder contains our part of that package.
PLUGINS = str(Path(__file__).resolve().parents[1] / "plugins")
failures: list[bool] = []
"""Whether pictures failed, for each point that this process evaluated."""


def sweep(arguments: Arguments) -> bool:
    """Runs a sweep of Hydra's program. Returns True if pictures failed.

    Each point of a sweeper becomes rows of one run. A launcher makes each point a run of its own, in a process of its
    own, in a folder below ``results_dir``.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: the arguments are wrong.
    """
    if not arguments.swept:
        raise ConfigError(f"{arguments.hydra[0]}: is a setting of sweeps, which need -m")
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises its errors instead of printing them
    sys.path += [PLUGINS] * (PLUGINS not in sys.path)
    Plugins.instance().register(importlib.import_module("hydra_plugins.rows_launcher").RowsLauncher)
    if arguments.config_dir is not None:
        parts.find_modules_beside(arguments.config_dir)
    launched = any(key_of(override) == "hydra/launcher" for override in arguments.hydra)
    options = [f"--config-dir={arguments.config_dir}"] if arguments.config_dir else []
    options += [] if launched else ["hydra/launcher=rows"]
    # Hydra's own configuration lacks most keys, and it refuses a key that it lacks, unless the key has ++.
    groups = (*GROUPS, "experiment")
    lines = [f"{'' if key_of(override) in groups else '++'}{for_hydra(override)}" for override in arguments.overrides]
    sys.argv[1:] = ["-m", *options, *arguments.hydra, *lines]
    job()
    return any(failures) or (launched and _jobs_failed(arguments))


@hydra.main(version_base="1.3", config_path=str(parts.conf_folder()), config_name="config")
def job(_: DictConfig) -> float | None:
    """Evaluates one job of a launcher of another package: a run of its own, in a folder below the sweep's."""
    settings = HydraConfig.get()
    folder = (Path(settings.sweep.dir) / settings.sweep.subdir).absolute()
    overrides = [override for override in settings.overrides.task if key_of(override) != "results_dir"]
    return evaluate_point([*overrides, f"results_dir={folder}"], config_dir_of(settings.runtime))


def evaluate_point(overrides: Sequence[str], config_dir: Path | None) -> float | None:
    """Evaluates a point. Returns the mIoU of its first row, for sweepers."""
    plain = [override.removeprefix("++") for override in overrides]
    arguments = Arguments(plain, config_dir=config_dir, typed=tuple(overrides))
    composed = compose_rows(arguments)
    from experiments.running.runner import run_rows

    failed, score = run_rows(composed, arguments)
    failures.append(bool(failed) and not composed.config.allow_failures)
    return score


def config_dir_of(runtime: RuntimeConf) -> Path | None:
    """The folder after ``--config-dir``; a process of a launcher knows it only from Hydra."""
    sources = (Path(source.path) for source in runtime.config_sources if source.provider == "command-line")
    return next(sources, None)


def _jobs_failed(arguments: Arguments) -> bool:
    """True if pictures failed in a job of a launcher."""
    composed = compose_rows(Arguments(arguments.overrides, arguments.swept, arguments.config_dir), checked=False)
    folder = Path(composed.config.results_dir or "results/sweep")
    return not composed.config.allow_failures and any(row.failed for run in read_runs(folder) for row in run.rows)
