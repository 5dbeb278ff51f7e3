"""Evaluates segmenters on a data set: ``python -m experiments.evaluate experiment=demo`` (``--help`` lists the keys)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from datasets.base import DatasetError
from diffseg.backbones import MissingWeights
from eval.config import ConfigError, check, expand, explain
from eval.records import RecordError

USER_ERRORS = (ConfigError, DatasetError, MissingWeights, RecordError, HydraException, OmegaConfBaseException)
USAGE_STATUS, FAILED_STATUS = 2, 1


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def evaluate(config: DictConfig) -> None:
    """One run, or one job of a multirun."""
    job = HydraConfig.get()
    rows = expand(config, job.overrides.task, job.runtime.choices)
    check(rows)
    # What follows imports torch, which takes seconds: missing data and weights have been reported by now.
    from experiments.session import run_session

    failed = run_session(config, rows, Path(job.runtime.output_dir))
    if failed and not config.allow_failures:
        raise SystemExit(FAILED_STATUS)


def main() -> None:
    """Runs `evaluate`; what a user can mend ends in one line, not in a traceback."""
    if os.environ.get("HYDRA_FULL_ERROR"):
        evaluate()
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors over instead of printing its own rendering
    try:
        evaluate()
    except USER_ERRORS as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(USAGE_STATUS)


if __name__ == "__main__":
    main()
