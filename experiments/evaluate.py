"""Evaluates segmenters: ``python -m experiments.evaluate experiment=demo`` (``--help`` lists groups and keys)."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from diffseg.command import interruptible, run_command
from eval.config import ConfigError
from experiments.running.arguments import CONF
from experiments.running.errors import PicturesFailed, one_line_errors
from experiments.running.plan import plan
from experiments.running.rerun import TABLES_OPTION, option_value, with_rerun
from experiments.running.rows import check
from experiments.running.starting import start_hydra


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def evaluate(config: DictConfig) -> None:
    """Evaluates one run, or one job of a sweep."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        _evaluate(config)  # errors reach `main` after the other jobs have run
        return
    with one_line_errors():
        _evaluate(config)


def _evaluate(config: DictConfig) -> None:
    planned = plan(config)
    planned = replace(planned, rows=check(planned.rows))
    # Imports torch, which takes seconds. Missing data and weights have been reported before.
    from experiments.running.runner import run_plans

    (failed,) = run_plans([planned])
    if failed and not config.allow_failures:
        raise PicturesFailed


def main() -> None:
    """Runs the command line: evaluates, or with ``--tables DIR`` only rewrites and prints the tables of DIR."""
    with interruptible("recorded results are kept, and the same command resumes the run"), one_line_errors():
        arguments = with_rerun(sys.argv[1:])
        folder = option_value(arguments, TABLES_OPTION)
        if folder is None:
            start_hydra(evaluate, arguments)
            return
        if arguments:
            raise ConfigError(
                f"{TABLES_OPTION}: takes a results folder and nothing else; leave out {shlex.join(arguments)}"
            )
        from experiments.running.reporting import retabulate

        print(retabulate(folder))


if __name__ == "__main__":
    run_command(main)
