"""Runs Hydra's own program where it is needed: ``--help``, ``--cfg``, and launchers and sweepers of other packages."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import hydra
from hydra.conf import RuntimeConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import OverrideType
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig

from diffseg.paths import expanded
from eval.config import ConfigError
from eval.runs import read_runs
from experiments.running.arguments import COMMAND, CONF, Arguments, key_of, parse
from experiments.running.compose import compose_points, compose_rows, points_of, search_path
from experiments.running.errors import one_line_errors

# Hydra finds plugins only in the namespace package hydra_plugins. This folder contains our part of that package.
PLUGINS = str(Path(__file__).resolve().parents[1] / "plugins")
ONE_BY_ONE = "hydra/launcher=basic"
OPTIONS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--run", "-r"),
    *("--info", "-i", "--shell-completion", "-sc"),
)
"""Options of Hydra's program; its own message about others has several lines."""
failures: list[bool] = []
"""Whether pictures failed, for each job that this process ran inside Hydra's program."""


def is_for_hydra(arguments: Arguments) -> bool:
    """True if an argument belongs to Hydra's own program."""
    return bool(arguments.hydra)


def points_one_by_one(arguments: Arguments) -> Sequence[Arguments]:
    """The command; or with ``hydra/launcher=basic`` each point of its sweep, to run one after the other."""
    if not any(each == ONE_BY_ONE for each in arguments.overrides):
        kept = [each for each in arguments.overrides if key_of(each) not in ("hydra/launcher", "hydra/sweeper")]
        return [replace(arguments, overrides=kept)]
    kept = [each for each in arguments.overrides if not each.startswith("hydra/")]
    with search_path(arguments.config_dir):
        points = points_of(parse(kept, arguments.swept))
        folder = compose_points(points, arguments.config_dir).folder
    place = [] if any(key_of(each) == "results_dir" for each in kept) else [f"results_dir={folder}"]
    lines = [[str(override.input_line) for override in point] for point in points]
    return [replace(arguments, overrides=[*point, *place], swept=False) for point in lines]


def start_hydra(arguments: Arguments) -> bool:
    """Runs Hydra's program. Returns True if pictures failed.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: the arguments are wrong.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises its errors instead of printing them
    if PLUGINS not in sys.path:
        sys.path.append(PLUGINS)
    Plugins.instance().register(importlib.import_module("hydra_plugins.rows_launcher").RowsLauncher)
    if "hydra/launcher=submitit_slurm" in arguments.hydra and not shutil.which("srun"):
        raise ConfigError(
            "hydra/launcher=submitit_slurm: SLURM is not on this machine (there is no command srun); start the "
            "sweep on a login node of the cluster, or use hydra/launcher=submitit_local"
        )
    unknown = [each for each in arguments.hydra if each[0] == "-" and each.partition("=")[0] not in OPTIONS]
    if unknown:
        raise ConfigError(f"unrecognized arguments: {' '.join(unknown)} ({COMMAND} --help lists options)")
    if arguments.swept and {"--run", "-r", "--cfg", "-c", "--info", "-i"} & {*arguments.hydra}:
        raise ConfigError("-m: evaluates a sweep; leave it out, or --run, --cfg or --info")
    overrides = parse(arguments.overrides, swept=True)
    # Hydra composes a configuration without the rows of an experiment, and refuses keys that only these have.
    lines = [
        f"++{each.input_line}"
        if each.type == OverrideType.CHANGE and "." in each.key_or_group
        else str(each.input_line)
        for each in overrides
    ]
    options = [f"--config-dir={arguments.config_dir}"] if arguments.config_dir else []
    sys.argv[1:] = [*["-m"] * arguments.swept, *options, *arguments.hydra, *lines]
    if arguments.config_dir is not None:
        sys.path.append(str(arguments.config_dir.absolute().parent))  # modules beside the folder of their YAML files
    program()
    return any(failures) or _jobs_failed(arguments)


def _jobs_failed(arguments: Arguments) -> bool:
    """True if pictures failed in a job of another launcher, which runs in a process of its own."""
    typed = dict(each.lstrip("+").split("=", 1) for each in arguments.overrides if "=" in each)
    others = any(each.startswith("hydra/launcher=") for each in arguments.hydra)
    if not (arguments.swept and others) or typed.get("allow_failures", "").lower() == "true":
        return False
    folder = expanded(typed.get("results_dir", "results/sweep").strip("'\""))
    return folder.is_dir() and any(row.failed for run in read_runs(folder) for row in run.rows)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def program(config: DictConfig) -> float | None:
    """Evaluates one run, or one job of another launcher: a run of its own, in a folder below the sweep's."""
    job = HydraConfig.get()
    overrides = [each.removeprefix("++") for each in job.overrides.task]
    if job.mode == RunMode.MULTIRUN:
        folder = Path(job.sweep.dir) / job.sweep.subdir
        overrides = [each for each in overrides if key_of(each) != "results_dir"]
        overrides.append(f"results_dir={folder.absolute()}")
    arguments = Arguments(overrides, config_dir=config_dir_of(job.runtime), typed=tuple(sys.argv[1:]))
    with one_line_errors():
        composed = compose_rows(arguments)
        from experiments.running.runner import run_rows

        outcome = run_rows(composed, arguments)
    failures.append(bool(outcome.failed) and not composed.config.allow_failures)
    return outcome.score


def config_dir_of(runtime: RuntimeConf) -> Path | None:
    """The folder after ``--config-dir``, which the jobs of Hydra's program are not told otherwise."""
    sources = (Path(source.path) for source in runtime.config_sources if source.provider == "command-line")
    return next(sources, None)
