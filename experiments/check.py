"""Tries the backbones of a run on one picture before the run takes hours: ``python -m experiments.check``.

    python -m experiments.check backbone=sd14 backbone.path=DIR
    python -m experiments.check experiment=table1 dataset.root=DIR

Takes the keys of `experiments.evaluate`, writes nothing, and exits with status 2 if the run would fail.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from diffseg.command import run_command
from eval.config import ConfigError
from experiments.running.arguments import COMMAND, CONF, MULTIRUN_OPTIONS
from experiments.running.errors import one_line_errors
from experiments.running.plan import plan
from experiments.running.rerun import RERUN_OPTION, TABLES_OPTION, key_of, with_rerun
from experiments.running.rows import check
from experiments.running.starting import start_hydra


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def check_backbones(config: DictConfig) -> None:
    """Checks each backbone of the rows."""
    with one_line_errors():
        rows = check(plan(config).rows)
        # Imports torch, which takes seconds. Missing data and weights have been reported before.
        from experiments.running.backbone_check import report

        try:
            for line in report(rows, config.device):
                print(line, flush=True)
        except ValueError as error:  # a device or weights that cannot be used
            raise ConfigError(str(error)) from error


def main() -> None:
    """Runs the command line."""
    with one_line_errors():
        arguments = with_rerun(sys.argv[1:])
        _refuse_other_work(arguments)
        start_hydra(check_backbones, arguments)


def _refuse_other_work(arguments: Sequence[str]) -> None:
    """Raises ConfigError for a sweep, whose launcher would evaluate it, and for ``--tables``, which writes files."""
    for argument in arguments:
        name = key_of(argument)
        if name in MULTIRUN_OPTIONS and argument not in sys.argv:
            raise ConfigError(
                f"{RERUN_OPTION}: names a sweep, and a check takes a single point; give the folder of a job"
            )
        if name in (*MULTIRUN_OPTIONS, "hydra.mode"):
            raise ConfigError(f"{name}: a check takes a single point; leave {argument} out")
        if name == TABLES_OPTION:
            raise ConfigError(f"{TABLES_OPTION}: a check writes no tables; type {COMMAND} {TABLES_OPTION} DIR")


if __name__ == "__main__":
    run_command(main)
