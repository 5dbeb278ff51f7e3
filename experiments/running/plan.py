"""What is to be evaluated into one results folder: the plan of a run, or of a job of a sweep. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig

from diffseg.paths import expanded
from eval.config import RowConfig
from experiments.running.rows import expand

NOT_SETTINGS = ("results_dir=", "hydra.", "hydra/")


@dataclass(frozen=True)
class RunPlan:
    """One run.

    Attributes:
        config: the composed configuration.
        rows: as configured; `experiments.running.rows.check` looks after data and weights.
        folder: results folder.
        sweep: folder of the sweep of which it is a job, None where it is alone.
        point: what tells it from the sweep's other jobs.
        title: of a job that runs together with others, in front of messages about it.
        overrides: of the command line, without those that say where results lie and how jobs are launched.
    """

    config: DictConfig
    rows: Sequence[RowConfig]
    folder: Path
    sweep: Path | None = None
    point: str = ""
    title: str = ""
    overrides: tuple[str, ...] = ()

    @property
    def together(self) -> bool:
        """Whether the job is evaluated together with the others of its sweep; other launchers run jobs apart."""
        return bool(self.title)

    @property
    def home(self) -> Path:
        """Folder of the records and label maps: jobs that are evaluated together share that of their sweep."""
        return self.sweep if self.sweep and self.together else self.folder


def plan(config: DictConfig, point: str = "", title: str = "") -> RunPlan:
    """The plan of the job that Hydra is running. Raises ConfigError, see `experiments.running.rows.expand`."""
    job = HydraConfig.get()
    rows = expand(config, job.overrides.task, job.runtime.choices)
    overrides = _settings(job.overrides.task)
    if job.mode != RunMode.MULTIRUN:
        return RunPlan(config, rows, expanded(config.results_dir).absolute(), overrides=overrides)
    sweep = Path(job.sweep.dir).absolute()
    return RunPlan(config, rows, sweep / job.sweep.subdir, sweep, point or str(job.job.num), title, overrides)


def _settings(overrides: Sequence[str]) -> tuple[str, ...]:
    """The overrides that are settings. Those of a job, which Hydra's sweeper has rewritten, are as those of a run."""
    parsed = OverridesParser.create().parse_overrides([each for each in overrides if not each.startswith(NOT_SETTINGS)])
    return tuple(str(each.input_line) if each.is_delete() else _typed(each) for each in parsed)


def _typed(override: Override) -> str:
    """An override as it may be typed: without the backslashes that Hydra puts before spaces."""
    value = override.get_value_element_as_str()
    plain = value if value[:1] in ("'", '"') else value.replace("\\ ", " ")
    return f"{override.get_key_element()}={plain}"
