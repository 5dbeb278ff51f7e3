"""Hydra plugins for sweeps: jobs share their common work (``hydra/launcher=one_pass``, the default)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from eval.config import ConfigError
from eval.storage.layout import MULTIRUN_YAML, SUMMARY_CSV, SWEEP_CSV
from eval.storage.written import WrittenFiles
from experiments.running.composing import Composer
from experiments.running.errors import PicturesFailed, user_message
from experiments.running.plan import RunPlan, plan
from experiments.running.rows import check


class OnePassLauncher(Launcher):
    """Plans all jobs one after the other, like Hydra's launcher, and then evaluates them together.

    All jobs share the records in the folder of the sweep, so a sweep that grows evaluates only its new points. Each
    job's folder gets the same tables as if the job had run alone. Wrong settings are reported before any job begins.
    """

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra once. Ignores the task function, which evaluates one job."""
        self.hydra_context, self.config = hydra_context, config
        self.composer = Composer(lambda overrides: hydra_context.config_loader.load_sweep_config(config, overrides))
        self.failed = False  # True after a picture could not be evaluated

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Called by Hydra with the overrides of each job.

        Raises:
            ConfigError: a job has invalid settings, or data or weights are missing.
        """
        setup_globals()
        sweep = _folder(self.config)
        shared = set.intersection(*map(set, job_overrides)) if len(job_overrides) > 1 else set()
        returns = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            returns.append(self._compose(overrides, number, [each for each in overrides if each not in shared]))
        plans: list[RunPlan] = []
        for each in returns:
            if isinstance(each.return_value, Exception):
                raise each.return_value
            plans.append(each.return_value)
        for number, planned in enumerate(plans, initial_job_idx):
            if planned.folder != sweep / str(number):
                raise ConfigError(
                    f"job {number}: its results would go to {planned.folder}, not to {sweep / str(number)}; give all "
                    "jobs the same results_dir=DIR, and do not change hydra.sweep.subdir"
                )
        rows = iter(check([row for each in plans for row in each.rows]))
        plans = [replace(each, rows=list(islice(rows, len(each.rows)))) for each in plans]
        # Imports torch, which takes seconds. Missing data and weights have been reported before.
        from experiments.running.runner import run_plans

        failed = run_plans(plans)
        self.failed |= any(n and not each.config.allow_failures for n, each in zip(failed, plans, strict=True))
        return returns

    def _compose(self, overrides: Sequence[str], number: int, varying: Sequence[str]) -> JobReturn:
        """Composes a job like Hydra's basic launcher, and plans it. ``varying``: overrides that not all jobs have."""
        prefix = f"job {number} ({' '.join(each.lstrip('+') for each in varying)}): "
        point = " ".join(re.sub(r"^\+*\w+\.", "", each) for each in varying)

        def task(config: DictConfig) -> RunPlan | Exception:
            try:
                return plan(config, point, prefix, together=True)
            except (ConfigError, OmegaConfBaseException) as error:
                # Returned, because Hydra prints more if it is raised.
                return ConfigError(f"{prefix}{user_message(error)}")

        try:
            config = self.composer(overrides)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"{prefix}{user_message(error)}") from error
        with open_dict(config):
            config.hydra.overrides.task = list(overrides)
            config.hydra.job.id = config.hydra.job.num = number
        return run_job(task, config, "hydra.run.dir", None, self.hydra_context)  # makes no folder: no job runs yet


class OnePassSweeper(BasicSweeper):
    """Hydra's basic sweeper, which also writes ``sweep.csv`` (the jobs of the last launch), with every launcher."""

    listed = False

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Called by Hydra with the overrides of each job before the launch.

        Does nothing for the one-pass launcher, which composes and checks its jobs itself.
        """
        if isinstance(self.launcher, OnePassLauncher):
            return
        super().validate_batch_is_legal(batch)
        if _leads() and not self.listed:
            from experiments.running.sweep_table import list_jobs
            from experiments.running.user_files import check_names

            check_names(_folder(self.config), [SWEEP_CSV])
            self.listed = True
            list_jobs(_folder(self.config), self._job_folders())
            for folder in self._job_folders():  # a job counts as finished once it has written this file again
                WrittenFiles(folder).delete([SUMMARY_CSV])

    def sweep(self, arguments: list[str]) -> Any:
        """Called by Hydra. If pictures failed, raises PicturesFailed after all jobs have run."""
        if isinstance(self.launcher, OnePassLauncher) and self.max_batch_size:
            raise ConfigError(
                "hydra.sweeper.max_batch_size: the jobs of a sweep share one pass, so there are no batches; leave it "
                "out, or add hydra/launcher=basic to run the jobs one after the other"
            )
        sweep = _folder(self.config)
        made = [path for path in (sweep, *sweep.parents) if not path.exists()]
        try:
            returns = super().sweep(arguments)
        except BaseException:
            _remove_if_empty(made)
            raise
        finally:  # also after an error: lists the jobs that have finished
            if self.listed:
                from experiments.running.sweep_table import write_sweep_table

                write_sweep_table(sweep, self._job_folders())
        if _leads():
            from experiments.running.sweep_table import warn_unused_folders

            warn_unused_folders(sweep, self._count())
        if isinstance(self.launcher, OnePassLauncher) and self.launcher.failed:
            raise PicturesFailed
        return returns

    def _job_folders(self) -> list[Path]:
        return [_folder(self.config) / str(number) for number in range(self._count())]

    def _count(self) -> int:
        """Number of jobs in all batches."""
        return sum(map(len, self.overrides or ()))


def _folder(config: DictConfig | None) -> Path:
    """Folder of the sweep."""
    assert config is not None
    return Path(config.hydra.sweep.dir).absolute()


def _remove_if_empty(folders: Sequence[Path]) -> None:
    """Removes the empty folders that Hydra created for a sweep that did not start, innermost first."""
    for folder in folders:
        if {path.name for path in folder.glob("*")} == {MULTIRUN_YAML}:
            (folder / MULTIRUN_YAML).unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


def _leads() -> bool:
    """True if this process writes tables. Under torchrun, only the first one does. Does not import torch."""
    alone = os.environ.get("WORLD_SIZE", "") in ("", "1")  # RANK is ignored then, because a cluster may set it
    return alone or os.environ.get("RANK", "0") == "0"
