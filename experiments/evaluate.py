"""Evaluates segmenters: ``python -m experiments.evaluate experiment=demo`` (``--help`` lists groups and keys)."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from datasets.base import DatasetError
from diffseg.backbones import WeightsError
from diffseg.command import INTERRUPTED_STATUS, TRACEBACK, one_line, run_command
from eval.config import ConfigError, explain
from eval.storage.files import WriteError
from eval.storage.records import PicturesFailed, RecordError
from experiments.running.arguments import CONF, normalise_argv
from experiments.running.plan import plan
from experiments.running.rerun import TABLES, option_value, with_rerun
from experiments.running.rows import check

USER_ERRORS = (
    *(ConfigError, DatasetError, WeightsError, RecordError, WriteError),
    *(HydraException, OmegaConfBaseException, OSError, YAMLError),
)
# Hydra finds plugins only in the namespace package hydra_plugins. This folder contains our part of that package.
PLUGINS = str(Path(__file__).with_name("plugins"))
USAGE_STATUS, FAILED_STATUS = 2, 1


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


def _make_tables(folder: Path) -> None:
    """Rewrites the tables of a results folder from its records, and prints them."""
    from experiments.running.reporting import retabulate

    print(retabulate(folder))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Context in which an error ends the program with one line instead of a traceback."""
    try:
        yield
    except BrokenPipeError:  # the reader, such as head, wants no more: `run_command` ends quietly
        raise
    except USER_ERRORS as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(USAGE_STATUS)
    except KeyboardInterrupt:
        print("interrupted; recorded results are kept, and the same command resumes the run", file=sys.stderr)
        sys.exit(INTERRUPTED_STATUS)
    except PicturesFailed:
        sys.exit(FAILED_STATUS)  # the run has said how many
    except Exception as error:  # a user's part may raise any error, and Hydra would print a traceback
        if os.environ.get(TRACEBACK):
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(USAGE_STATUS)


def main(command: Callable[[], None] = evaluate) -> None:
    """Runs a Hydra command, such as `evaluate`. Errors of Hydra are reported like those of this project."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises its errors instead of printing them
    if PLUGINS not in sys.path:
        sys.path.append(PLUGINS)
    one_pass = importlib.import_module("hydra_plugins.one_pass")
    Plugins.instance().register(one_pass.OnePassLauncher)
    Plugins.instance().register(one_pass.OnePassSweeper)
    with one_line_errors():
        arguments = with_rerun(sys.argv[1:])
        if folder := option_value(arguments, TABLES):
            if arguments:
                raise ConfigError(
                    f"{TABLES}: takes a results folder and nothing else; leave out {shlex.join(arguments)}"
                )
            _make_tables(folder)
            return
        sys.argv[1:] = normalise_argv(arguments)
        command()


if __name__ == "__main__":
    run_command(main)
