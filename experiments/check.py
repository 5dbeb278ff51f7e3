"""Checks the backbones of a run with one picture before it takes hours: ``python -m experiments.check``.

    python -m experiments.check backbone=sd14 backbone.path=DIR
    python -m experiments.check experiment=table1 dataset.root=DIR

Takes the keys of `experiments.evaluate`, writes nothing, and exits with status 2 if the run would fail.
"""

from __future__ import annotations

import sys

import hydra
from omegaconf import DictConfig

from diffseg.command import run_command
from eval.config import ConfigError
from experiments.evaluate import main, one_line_errors
from experiments.running.arguments import CONF, MULTIRUN
from experiments.running.plan import plan
from experiments.running.rows import check


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


def start() -> None:
    """Runs the command line. Refuses ``-m``, because the launcher of a sweep would evaluate instead of check."""
    with one_line_errors():
        if {*MULTIRUN} & {*sys.argv}:
            raise ConfigError("-m: a check takes a single point; leave -m out")
    main(check_backbones)


if __name__ == "__main__":
    run_command(start)
