"""Hydra plugin: the points that a sweeper asks for become rows of one run (``hydra/launcher=rows``, the default)."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from experiments.running.arguments import Arguments
from experiments.running.compose import compose_rows
from experiments.running.hydra_program import config_dir_of, failures


class RowsLauncher(Launcher):
    """Evaluates the points of a batch one after the other, as rows of the run in ``results_dir``."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra once. Ignores the task function, which evaluates one job of another launcher."""
        self._config_dir = config_dir_of(config.hydra.runtime)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Called by Hydra with the overrides of each point. Each return value is the mIoU of the point's first row.

        Raises:
            ConfigError: a point has invalid settings, or data or weights are missing.
        """
        setup_globals()
        returns = []
        for overrides in job_overrides:
            plain = [each.removeprefix("++") for each in overrides]
            arguments = Arguments(plain, config_dir=self._config_dir, typed=tuple(overrides))
            composed = compose_rows(arguments)
            from experiments.running.runner import run_rows

            outcome = run_rows(composed, arguments)
            failures.append(bool(outcome.failed) and not composed.config.allow_failures)
            result = JobReturn(overrides=overrides, status=JobStatus.COMPLETED)
            result.return_value = outcome.score
            returns.append(result)
        return returns
