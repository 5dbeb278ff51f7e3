"""Passes one picture through a backbone and reports what matters before a long run: ``python -m experiments.check``.

    python -m experiments.check backbone=sd14 backbone.path=DIR
    python -m experiments.check experiment=table1 dataset.root=DIR

It takes the keys of `experiments.evaluate`, writes nothing, and ends with status 2 where the run would fail.
"""

from __future__ import annotations

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from diffseg.command import run_command
from eval.config import ConfigError
from experiments.evaluate import main, one_line_errors
from experiments.running.arguments import CONF
from experiments.running.plan import plan
from experiments.running.rows import check


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def check_backbones(config: DictConfig) -> None:
    """Checks each backbone of the rows."""
    with one_line_errors():
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise ConfigError("-m: a check takes one point; leave -m out")
        rows = check(plan(config).rows)
        # What follows imports torch, which takes seconds: missing data and weights have been reported by now.
        from experiments.running.backbone_check import report

        for line in report(rows, config.device):
            print(line, flush=True)


if __name__ == "__main__":
    run_command(lambda: main(check_backbones))
