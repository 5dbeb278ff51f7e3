"""Hydra plugins for sweeps: what jobs have in common is computed once (``hydra/launcher=one_pass``, the default)."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from eval.config import ConfigError, explain
from eval.markdown import fixed, pipe_table, with_interval
from eval.records import PicturesFailed
from eval.tables import write_csv
from experiments.plan import Plan, plan
from experiments.results import SWEEP_TABLE, read_results
from experiments.rows import check, is_value


class OnePassLauncher(Launcher):
    """Plans all jobs as Hydra would run them, one after the other, and evaluates them together.

    A job's folder ends up with the files that the job would have written alone. A setting that cannot be is told
    before any job begins. Records of earlier jobs of the sweep are taken over whatever their number was, so that a
    sweep that grows evaluates its new points alone.
    """

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra, once. The task function, which evaluates one job, is not needed."""
        self.hydra_context, self.config = hydra_context, config
        self.bases: dict[tuple[str, ...], DictConfig] = {}
        self.failed = False  # whether pictures could not be evaluated

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Called by Hydra with the overrides of each job.

        Raises:
            ConfigError: a job's settings cannot be, or data or weights are missing.
        """
        setup_globals()
        sweep = Path(self.config.hydra.sweep.dir)
        shared = set.intersection(*map(set, job_overrides)) if len(job_overrides) > 1 else set()
        returns = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            own = " ".join(each for each in overrides if each not in shared)
            returns.append(self._compose(overrides, number, sweep.name, f"job {number} ({own}): "))
        plans: list[Plan] = []
        for each in returns:
            if isinstance(each.return_value, Exception):
                raise each.return_value
            plans.append(each.return_value)
        for number, planned in enumerate(plans, initial_job_idx):
            if planned.folder != sweep.absolute() / str(number):
                raise ConfigError(
                    f"job {number}: its results would lie in {planned.folder}, not in {sweep / str(number)}; give one "
                    "results_dir=DIR to all jobs, and leave hydra.sweep.subdir as it is"
                )
        rows = iter(check([row for each in plans for row in each.rows]))
        plans = [replace(each, rows=list(islice(rows, len(each.rows)))) for each in plans]
        # What follows imports torch, which takes seconds: missing data and weights have been reported by now.
        from experiments.runner import RECORDS, run_plans

        _allow_open_files(2 * len(plans))  # every job's records and their lock
        finished = sorted(path.parent for path in sweep.resolve().glob(f"[0-9]*/{RECORDS}"))
        failed = run_plans(plans, finished, conclude=lambda: _conclude(sweep, initial_job_idx, plans))
        self.failed |= any(n and not each.config.allow_failures for n, each in zip(failed, plans, strict=True))
        return returns

    def _compose(self, overrides: Sequence[str], number: int, group: str, title: str) -> JobReturn:
        """Composes a job as Hydra's own launcher does, and plans it."""

        def task(config: DictConfig) -> Plan | Exception:
            try:
                return plan(config, group, title)
            except (ConfigError, OmegaConfBaseException) as error:
                return ConfigError(f"{title}{explain(error)}")  # Hydra would print more than this if it were raised

        config = self._config(overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return run_job(task, config, "hydra.sweep.dir", "hydra.sweep.subdir", self.hydra_context)

    def _config(self, overrides: Sequence[str]) -> DictConfig:
        """Configuration of a job. Jobs that choose alike are composed once: Hydra takes its time."""
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        chosen = tuple(str(override.input_line) for override in parsed if not is_value(override))
        if chosen not in self.bases:
            self.bases[chosen] = self.hydra_context.config_loader.load_sweep_config(self.config, list(chosen))
        config = deepcopy(self.bases[chosen])
        with open_dict(config.hydra):
            config.hydra.overrides.task = list(overrides)
        for value in filter(is_value, parsed):
            OmegaConf.update(config, value.key_or_group, value.value(), merge=True)
        return config


class OnePassSweeper(BasicSweeper):
    """Hydra's own sweeper, without composing all jobs in order to see whether they can be: the launcher does that."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Called by Hydra with the overrides of each job."""
        if not isinstance(self.launcher, OnePassLauncher):
            super().validate_batch_is_legal(batch)

    def sweep(self, arguments: list[str]) -> Any:
        """Called by Hydra. Raises PicturesFailed when all batches have run."""
        returns = super().sweep(arguments)
        if isinstance(self.launcher, OnePassLauncher) and self.launcher.failed:
            raise PicturesFailed
        return returns


def _allow_open_files(more: int) -> None:
    """Raises the system's limit for this process, as far as that may be raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = soft + more
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(hard, wanted), hard)
        )


def _conclude(sweep: Path, first: int, plans: Sequence[Plan]) -> None:
    """Writes the summaries of all jobs as one table and prints it; jobs before the ``first`` were launched earlier."""
    path = sweep / SWEEP_TABLE
    parts = [pd.read_csv(each.folder / "summary.csv", dtype=str) for each in plans]
    for number, part in enumerate(parts, first):
        part.insert(0, "job", str(number))
    if first and path.is_file():
        earlier = pd.read_csv(path, dtype=str)
        parts.insert(0, earlier[earlier["job"].astype(int) < first])
    write_csv(path, pd.concat(parts))
    print(f"{_overview(read_results(sweep).summary)}Tables: {path}, and in each job's folder", flush=True)


def _overview(summary: pd.DataFrame) -> str:
    """A line a job and row, as Markdown."""
    blocks = []
    for protocol, rows in summary.groupby("protocol", sort=False):
        cells = {
            "job": rows["job"],
            "setting": rows["setting"],
            **{
                title: [with_interval(*row) for row in rows[[name, f"{name}_low", f"{name}_high"]].to_numpy()]
                for title, name in (("ACC % [95 %]", "acc"), ("mIoU % [95 %]", "miou"))
            },
            "segments": [fixed(value) for value in rows["segments"]],
        }
        blocks.append(f"\nScore `{protocol}`\n\n{pipe_table(cells)}")
    return "".join(blocks)
