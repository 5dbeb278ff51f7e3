"""Plans a run, or a job of a sweep: its rows and its results folder. Imports no torch."""

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
    """The plan of a run or job.

    Attributes:
        config: the composed configuration.
        rows: rows to evaluate; `experiments.running.rows.check` checks their data and weights.
        folder: results folder.
        sweep: folder of the sweep if this is a job; None for a single run.
        point: the values that distinguish the job from the other jobs of its sweep.
        prefix: beginning of messages about a job that runs together with others.
        overrides: overrides on the command line, without the results folder and the settings of Hydra.
        together: True if the jobs of the sweep are evaluated together. Only the launcher ``one_pass`` does that.
    """

    config: DictConfig
    rows: Sequence[RowConfig]
    folder: Path
    sweep: Path | None = None
    point: str = ""
    prefix: str = ""
    overrides: tuple[str, ...] = ()
    together: bool = False

    @property
    def records_folder(self) -> Path:
        """Folder of the records and label maps. Jobs that are evaluated together share the folder of the sweep."""
        return self.sweep if self.sweep and self.together else self.folder


def plan(config: DictConfig, point: str = "", prefix: str = "", together: bool = False) -> RunPlan:
    """Plans the run or job that Hydra is running. Raises ConfigError, see `experiments.running.rows.expand`."""
    job = HydraConfig.get()
    rows = expand(config, job.overrides.task, job.runtime.choices)
    overrides = _settings(job.overrides.task)
    if job.mode != RunMode.MULTIRUN:
        return RunPlan(config, rows, expanded(config.results_dir).absolute(), overrides=overrides)
    sweep = Path(job.sweep.dir).absolute()
    return RunPlan(
        config, rows, sweep / job.sweep.subdir, sweep, point or str(job.job.num), prefix, overrides, together
    )


def _settings(overrides: Sequence[str]) -> tuple[str, ...]:
    """The overrides that are settings, in the same form for a run and for a job, whose overrides Hydra rewrites."""
    parsed = OverridesParser.create().parse_overrides([each for each in overrides if not each.startswith(NOT_SETTINGS)])
    return tuple(str(each.input_line) if each.is_delete() else _typed(each) for each in parsed)


def _typed(override: Override) -> str:
    """An override as a user can type it, without the backslashes that Hydra puts before spaces."""
    value = override.get_value_element_as_str()
    plain = value if value[:1] in ("'", '"') else value.replace("\\ ", " ")
    return f"{override.get_key_element()}={plain}"
