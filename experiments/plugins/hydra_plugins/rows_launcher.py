"""Hydra plugin: the points that a sweeper asks for become rows of one run (``hydra/launcher=rows``)."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from experiments.running.sweepers import config_dir_of, evaluate_point

ConfigStore.instance().store("rows", {"_target_": "hydra_plugins.rows_launcher.RowsLauncher"}, "hydra/launcher")


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
            result = JobReturn(overrides=overrides, status=JobStatus.COMPLETED)
            result.return_value = evaluate_point(overrides, self._config_dir)
            returns.append(result)
        return returns
