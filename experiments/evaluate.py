"""Evaluates segmenters: ``python -m experiments.evaluate experiment=demo`` (``--help`` lists groups and keys)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from datasets.base import DatasetError
from diffseg.backbones import MissingWeights
from eval.config import ConfigError, explain
from eval.files import WriteError
from eval.records import PicturesFailed, RecordError
from experiments.rows import check, expand

USER_ERRORS = (
    *(ConfigError, DatasetError, MissingWeights, RecordError, WriteError),
    *(HydraException, OmegaConfBaseException, OSError),
)
CONF = Path(__file__).resolve().parents[1] / "conf"
USAGE_STATUS, FAILED_STATUS, INTERRUPTED_STATUS = 2, 1, 130


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def evaluate(config: DictConfig) -> None:
    """One run, or one job of a multirun."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        _evaluate(config)  # what goes wrong reaches `main` when the other jobs have run
        return
    with one_line_errors():
        _evaluate(config)


def _evaluate(config: DictConfig) -> None:
    job = HydraConfig.get()
    rows = expand(config, job.overrides.task, job.runtime.choices)
    check(rows)
    # What follows imports torch, which takes seconds: missing data and weights have been reported by now.
    from experiments.runner import run_rows

    failed = run_rows(config, rows, Path(job.runtime.output_dir))
    if failed and not config.allow_failures:
        raise PicturesFailed


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line, not a traceback, where the user can mend what is wrong."""
    try:
        yield
    except USER_ERRORS as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(USAGE_STATUS)
    except KeyboardInterrupt:
        print("interrupted; what was recorded is kept, and the same command goes on from there", file=sys.stderr)
        sys.exit(INTERRUPTED_STATUS)
    except PicturesFailed:
        sys.exit(FAILED_STATUS)  # the run has said how many


def main() -> None:
    """Runs `evaluate`, with Hydra's own errors rendered as ours."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra hands its errors over instead of printing them
    with one_line_errors():
        evaluate()


if __name__ == "__main__":
    main()
